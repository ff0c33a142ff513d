"""One build at a time at an address: an object that its holder puts anew every few seconds.

Taking it is a conditional put (If-None-Match: *): of two that try, one gets it. A holder that died leaves it behind;
who comes next watches it: when it changes, the holder lives; when the store's own clock says that nobody has put it for
`silence_s`, the newcomer replaces exactly the object it saw (If-Match), so that of two newcomers, too, one gets it. No
machine's clock is compared with another's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator

from datasets import remote

log = logging.getLogger("duetflow")
SILENCE_S = 60.0


def silence_s() -> float:
    """Seconds without a sign of life after which a holder counts as dead: DUETFLOW_LEASE_S, or a minute."""
    told = os.environ.get("DUETFLOW_LEASE_S")
    try:
        value = float(told) if told else SILENCE_S
    except ValueError:
        value = 0.0
    if not value >= 1:
        raise ValueError(f"DUETFLOW_LEASE_S: want a number of seconds of 1 or more, got {told!r}")
    return value


class Lost(RuntimeError):
    """Another run holds what this one held: it was silent for too long."""


class Lease:
    """A held lease; `holding` makes and ends it."""

    def __init__(self, address: str, silence: float) -> None:
        self._address, self._silence = address, silence
        self._who = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._beats = 0
        self._etag = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="lease", daemon=True)
        self.lost = False

    def take(self) -> str | None:
        """Take it, waiting until a silent holder counts as dead. Gives None, or who holds it and lives."""
        first: str | None = None
        while True:
            try:
                self._etag = remote.put(self._address, self._said(), new=True)
                break
            except remote.ChangedError:
                pass
            try:
                data, etag, age = remote.aged(self._address)
            except FileNotFoundError:
                continue  # its holder was just done
            if data == self._said():
                self._etag = etag  # ours: the answer to the put was lost on the way, and it was sent again
                break
            if first is not None and etag != first:
                return _who(data)
            if age > self._silence:
                with contextlib.suppress(remote.ChangedError, FileNotFoundError):
                    self._etag = remote.put(self._address, self._said(), replaces=etag)
                    log.warning("%s: its holder %s was silent for %.0f s; taken over", self._address, _who(data), age)
                    break
                first = None
                continue
            first = etag
            time.sleep(min(1.0, self._silence / 10))
        self._thread.start()
        return None

    def end(self) -> None:
        """Let go, unless another has it by now."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            if not self.lost and remote.aged(self._address)[1] == self._etag:
                remote.remove(self._address)

    def _beat_on(self) -> None:
        heard = time.monotonic()
        while not self._ended.wait(self._silence / 6):
            try:
                self._beats += 1
                self._etag = remote.put(self._address, self._said(), replaces=self._etag)
                heard = time.monotonic()
            except (remote.ChangedError, FileNotFoundError):
                if self._still_ours():
                    continue
                self._give_up("another run took it over")
                return
            except OSError as error:
                # The network may come back before anybody else counts us as dead.
                log.debug("%s: %s", self._address, error)
                if time.monotonic() - heard > self._silence:
                    self._give_up(f"the store was out of reach: {error.strerror or error}")
                    return

    def _still_ours(self) -> bool:
        """Whether a put of ours came through although its answer did not."""
        try:
            data, etag, _ = remote.aged(self._address)
        except OSError:
            return False
        if json.loads(data or b"{}").get("who") != self._who:
            return False
        self._etag = etag
        return True

    def _give_up(self, why: str) -> None:
        self.lost = True
        log.error("%s: %s; this run stops", self._address, why)
        # The way every long command of ours is stopped from outside: what is complete stays.
        os.kill(os.getpid(), signal.SIGTERM)

    def _said(self) -> bytes:
        return json.dumps({"who": self._who, "beat": self._beats}).encode()


@contextlib.contextmanager
def holding(address: str) -> Iterator[str | None]:
    """Hold the lease at an address; gives None when held, else who has it. Raises Lost where it was lost meanwhile."""
    lease = Lease(address, silence_s())
    holder = lease.take()
    if holder is not None:
        yield holder
        return
    try:
        yield None
    finally:
        lease.end()
    if lease.lost:
        raise Lost(f"{address}: another run took it over while this one was silent; give each its own --out")


def _who(data: bytes) -> str:
    try:
        return str(json.loads(data)["who"]).rpartition(":")[0]
    except (ValueError, KeyError, TypeError):
        return "somebody"
