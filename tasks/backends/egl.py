"""OpenGL contexts without a screen, lent out one a thread at a time; pyrender's EGL platform makes them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_HINT = (
    "rendering needs EGL and an OpenGL driver; on Debian: apt-get install libegl1 libgl1-mesa-dri"
    " (Mesa draws on the CPU where there is no GPU)"
)
_lock = threading.Lock()
_idle: list[Context] = []
_owner: list[int] = []  # the process that made contexts, once one has


@dataclass(slots=True, eq=False)
class Context:
    """One OpenGL context, and what renderers keep in it between uses (programs, targets)."""

    platform: Any  # pyrender.platforms.egl.EGLPlatform
    kept: dict[Any, Any] = field(default_factory=dict)


@contextlib.contextmanager
def context() -> Iterator[Context]:
    """A context that is current in this thread and in no other, while the block runs.

    Contexts are never destroyed: pyrender's platform would end the whole EGL display with one. Those given back wait
    for the next borrower, so a process has as many as ever drew at once. Raises RuntimeError that names the packages
    to install.
    """
    if _owner and _owner[0] != os.getpid():
        # The driver's threads stayed behind in the parent: anything drawn here would wait for them for ever.
        raise RuntimeError("OpenGL: want a process of its own, got one forked after its parent drew; start it by spawn")
    with _lock:
        lent = _idle.pop() if _idle else None
    lent = lent or _make()
    lent.platform.make_current()
    try:
        yield lent
    finally:
        _release(lent)
        with _lock:
            _idle.append(lent)


def _make() -> Context:
    with _lock:
        try:
            platform_class, device = _platform()
            # The size is of pyrender's own window surface, which an off-screen context does not have.
            platform = platform_class(1, 1, device=device)
            platform.init_context()
        except Exception as error:
            raise RuntimeError(f"OpenGL: want an EGL context, got {type(error).__name__}: {error}; {_HINT}") from error
        _owner[:] = [os.getpid()]
    return Context(platform=platform)


def _platform() -> tuple[Any, Any]:
    wanted = os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    if wanted != "egl":
        raise ValueError(f"want PYOPENGL_PLATFORM=egl, got {wanted!r}; unset it")
    loaded = sys.modules.get("OpenGL.platform")
    if loaded is not None and type(loaded.PLATFORM).__name__ != "EGLPlatform":
        raise ValueError(f"want OpenGL on EGL, got {type(loaded.PLATFORM).__name__}, which was imported before")
    if not hasattr(np, "infty"):
        setattr(np, "infty", np.inf)  # noqa: B010 pyrender 0.1.45 still says so; numpy 2 took the name away
    from pyrender.platforms import egl

    return egl.EGLPlatform, egl.get_device_by_index(int(os.environ.get("EGL_DEVICE_ID", "0")))


def _release(lent: Context) -> None:
    from OpenGL import EGL

    # pyrender's own make_uncurrent does nothing; a context still current here could not be lent to another thread.
    display = lent.platform._egl_display
    EGL.eglMakeCurrent(display, EGL.EGL_NO_SURFACE, EGL.EGL_NO_SURFACE, EGL.EGL_NO_CONTEXT)
