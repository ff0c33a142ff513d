"""Linux: rlimits, seccomp and Landlock for a process that is about to read what a stranger wrote.

By system calls through ctypes, for want of a library in the lock file. Landlock: kernel's
Documentation/userspace-api/landlock.rst; seccomp: Documentation/userspace-api/seccomp_filter.rst and linux/filter.h.
Where a kernel has one of them not, the others stand: `confine` says which do.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 1, 38, 22, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
# LANDLOCK_ACCESS_FS_*: those of a file, those of a folder, and from which ABI each is known.
_EXECUTE, _WRITE, _READ, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << i for i in range(6))
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_TRUNCATE = 1 << 14
_ALL_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_MAY_READ = _READ | _READ_DIR
# No links, sockets, pipes or devices: what is made must be what it looks like.
_MAY_WRITE = _MAY_READ | _WRITE | _TRUNCATE | _MAKE_DIR | _MAKE_REG | _REMOVE_FILE | _REMOVE_DIR
_NO_TCP, _NO_ABSTRACT_SOCKETS_OR_SIGNALS = 3, 3
# What a codec never needs: addresses, other programs, other processes, the kernel's larger doors.
_DENIED: dict[str, dict[str, int]] = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
        "socketpair": 53, "execve": 59, "kill": 62, "ptrace": 101, "mount": 165, "keyctl": 250, "unshare": 272,
        "accept4": 288, "perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
        "bpf": 321, "execveat": 322, "userfaultfd": 323, "pidfd_send_signal": 424, "io_uring_setup": 425,
        "pidfd_open": 434, "pidfd_getfd": 438,
    },
    "aarch64": {
        "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206,
        "sendmsg": 211, "execve": 221, "kill": 129, "ptrace": 117, "mount": 40, "keyctl": 219, "unshare": 97,
        "accept4": 242, "perf_event_open": 241, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271,
        "bpf": 280, "execveat": 281, "userfaultfd": 282, "pidfd_send_signal": 424, "io_uring_setup": 425,
        "pidfd_open": 434, "pidfd_getfd": 438,
    },
}  # fmt: skip
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE_EPERM, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000
_X32 = 0x40000000
# What the interpreter and its libraries may want to open late.
SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/zero",
    "/sys/devices/system/cpu", "/proc/cpuinfo", "/proc/meminfo",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one file may cost."""

    budget_s: float  # wall clock; its CPU seconds, over all its threads, may be twice as many
    memory_mb: int  # address space
    file_mb: int = 65536  # any one file that is written


def end_with_parent() -> None:
    """Have this process killed when the thread that started it ends."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine(limits: Limits, *, reads: Iterable[str | Path], writes: Iterable[str | Path]) -> tuple[str, ...]:
    """Limit this process, for good: what it costs, what it opens (besides SYSTEM), no socket, no other program.

    `reads` and `writes` are files and folders, the latter with all below them. Gives which of `rlimits`, `landlock`
    and `seccomp` stand. Raises OSError where a path of `reads` or `writes` is not there.
    """
    _limit(limits)
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    stand = ["rlimits"]
    if _landlock(reads, writes):
        stand.append("landlock")
    if _seccomp():
        stand.append("seccomp")
    return tuple(stand)


def _limit(limits: Limits) -> None:
    mega, cpu_s = 1 << 20, max(1, int(2 * limits.budget_s) + 1)
    _lower(resource.RLIMIT_AS, limits.memory_mb * mega)
    _lower(resource.RLIMIT_CPU, cpu_s)
    _lower(resource.RLIMIT_FSIZE, limits.file_mb * mega)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, 256)


def _lower(which: int, value: int) -> None:
    """Set a limit, soft and hard, never above the hard one that stands."""
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _landlock(reads: Iterable[str | Path], writes: Iterable[str | Path]) -> bool:
    """Nothing is opened but below these paths; False where the kernel has no Landlock."""
    libc = _libc()
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    handled = _ALL_OF_ABI[max(known for known in _ALL_OF_ABI if known <= abi)]
    attributes = [handled, _NO_TCP if abi >= 4 else 0, _NO_ABSTRACT_SOCKETS_OR_SIGNALS if abi >= 6 else 0]
    size = 8 * (1 + (abi >= 4) + (abi >= 6))
    ruleset = libc.syscall(_CREATE_RULESET, struct.pack("=QQQ", *attributes), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    try:
        for system in SYSTEM:
            if os.path.exists(system):
                _allow(libc, ruleset, system, (_MAY_READ | _EXECUTE) & handled)
        _allow(libc, ruleset, os.devnull, (_READ | _WRITE) & handled)
        for path in reads:
            _allow(libc, ruleset, path, _MAY_READ & handled)
        for path in writes:
            _allow(libc, ruleset, path, _MAY_WRITE & handled)
        return libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str | Path, access: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            access &= _OF_FILES
        rule = struct.pack("=Qi", access, handle)
        if libc.syscall(_ADD_RULE, ruleset, 1, rule, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(path))
    finally:
        os.close(handle)


def _seccomp() -> bool:
    """The denied system calls give EPERM; False where the kernel or the processor's numbers are not known."""
    machine = platform.machine()
    if machine not in _DENIED:
        return False
    code = _program(_AUDIT_ARCH[machine], sorted(_DENIED[machine].values()), x32=machine == "x86_64")
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    program = Program(len(code) // 8, ctypes.addressof(buffer))
    return _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0


def _program(arch: int, denied: Sequence[int], *, x32: bool) -> bytes:
    """BPF over struct seccomp_data (nr at 0, arch at 4); a jump counts the instructions that it leaves out."""
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    # x32 has the same calls under other numbers.
    lines += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE_EPERM)] if x32 else []
    for number in denied:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE_EPERM)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
