"""The plain parts of OpenGL: programs with named uniforms, textures, frame buffers. Errors say what failed and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from OpenGL import GL


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A linked program and where its uniforms are."""

    name: int
    places: dict[str, int]

    def use(self, **values: Any) -> None:
        """Make it current and set uniforms: numbers, vectors (2 or 3,), matrices (4, 4), all as float32; bool-free."""
        GL.glUseProgram(self.name)
        for key, value in values.items():
            place = self.places.get(key)
            if place is not None:  # the linker drops what a shader does not read
                _set(place, value)


def _set(place: int, value: Any) -> None:
    if isinstance(value, int):
        GL.glUniform1i(place, value)
    elif isinstance(value, np.uint32):
        GL.glUniform1ui(place, int(value))
    elif isinstance(value, float):
        GL.glUniform1f(place, value)
    else:
        array = np.ascontiguousarray(value, np.float32)
        if array.shape == (4, 4):
            GL.glUniformMatrix4fv(place, 1, True, array)
        elif array.shape == (3,):
            GL.glUniform3fv(place, 1, array)
        elif array.shape == (2,):
            GL.glUniform2fv(place, 1, array)
        else:
            raise TypeError(f"uniform: want a number, (2,), (3,) or (4, 4), got {array.shape}")


def program(vertex: str, fragment: str) -> Program:
    """Compile and link. Raises RuntimeError with the driver's own words."""
    name = GL.glCreateProgram()
    for kind, text in ((GL.GL_VERTEX_SHADER, vertex), (GL.GL_FRAGMENT_SHADER, fragment)):
        shader = GL.glCreateShader(kind)
        GL.glShaderSource(shader, text)
        GL.glCompileShader(shader)
        if not GL.glGetShaderiv(shader, GL.GL_COMPILE_STATUS):
            raise RuntimeError(f"shader: the driver does not compile it: {_text(GL.glGetShaderInfoLog(shader))}")
        GL.glAttachShader(name, shader)
        GL.glDeleteShader(shader)
    GL.glLinkProgram(name)
    if not GL.glGetProgramiv(name, GL.GL_LINK_STATUS):
        raise RuntimeError(f"shader: the driver does not link it: {_text(GL.glGetProgramInfoLog(name))}")
    places = {}
    for i in range(GL.glGetProgramiv(name, GL.GL_ACTIVE_UNIFORMS)):
        uniform = _text(GL.glGetActiveUniform(name, i)[0])
        places[uniform] = GL.glGetUniformLocation(name, uniform)
    return Program(name, places)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


# What a texture holds -> (internal format, format, type).
_FORMATS = {
    "rgba8": (GL.GL_RGBA8, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE),
    "rgb8": (GL.GL_RGB8, GL.GL_RGB, GL.GL_UNSIGNED_BYTE),
    "rgba32f": (GL.GL_RGBA32F, GL.GL_RGBA, GL.GL_FLOAT),
    "r8ui": (GL.GL_R8UI, GL.GL_RED_INTEGER, GL.GL_UNSIGNED_BYTE),
    "r32ui": (GL.GL_R32UI, GL.GL_RED_INTEGER, GL.GL_UNSIGNED_INT),
    # 24 bits, as pyrender's own depth buffer, so that ties fall alike.
    "depth": (GL.GL_DEPTH_COMPONENT24, GL.GL_DEPTH_COMPONENT, GL.GL_UNSIGNED_INT),
}


def texture(
    kind: str, size: tuple[int, int], data: np.ndarray | None = None, *, linear: bool = False, repeats: bool = False
) -> int:
    """A 2-D texture of (h, w), without data an empty one. One that repeats has mipmaps and is read smoothly near and
    far.
    """
    inside, outside, number = _FORMATS[kind]
    name = int(GL.glGenTextures(1))
    GL.glBindTexture(GL.GL_TEXTURE_2D, name)
    GL.glPixelStorei(GL.GL_UNPACK_ALIGNMENT, 1)
    GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, inside, size[1], size[0], 0, outside, number, data)
    near = GL.GL_LINEAR if linear or repeats else GL.GL_NEAREST
    far = GL.GL_LINEAR_MIPMAP_NEAREST if repeats else near
    edge = GL.GL_REPEAT if repeats else GL.GL_CLAMP_TO_EDGE
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MAG_FILTER, near)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER, far)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_WRAP_S, edge)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_WRAP_T, edge)
    if repeats:
        GL.glGenerateMipmap(GL.GL_TEXTURE_2D)
    return name


def shadow_texture(side: int) -> int:
    """A depth texture that is compared when it is read; beyond its edge everything is lit."""
    name = texture("depth", (side, side), linear=True)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_COMPARE_MODE, GL.GL_COMPARE_REF_TO_TEXTURE)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_COMPARE_FUNC, GL.GL_LEQUAL)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_WRAP_S, GL.GL_CLAMP_TO_BORDER)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_WRAP_T, GL.GL_CLAMP_TO_BORDER)
    GL.glTexParameterfv(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_BORDER_COLOR, np.ones(4, np.float32))
    return name


def target(colors: list[int], depth: int | None) -> int:
    """A frame buffer over textures. Raises RuntimeError when the driver cannot draw into this combination."""
    name = int(GL.glGenFramebuffers(1))
    GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, name)
    for i, color in enumerate(colors):
        GL.glFramebufferTexture2D(GL.GL_FRAMEBUFFER, GL.GL_COLOR_ATTACHMENT0 + i, GL.GL_TEXTURE_2D, color, 0)
    if depth is not None:
        GL.glFramebufferTexture2D(GL.GL_FRAMEBUFFER, GL.GL_DEPTH_ATTACHMENT, GL.GL_TEXTURE_2D, depth, 0)
    if colors:
        GL.glDrawBuffers(len(colors), [GL.GL_COLOR_ATTACHMENT0 + i for i in range(len(colors))])
    else:
        GL.glDrawBuffer(GL.GL_NONE)
        GL.glReadBuffer(GL.GL_NONE)
    status = GL.glCheckFramebufferStatus(GL.GL_FRAMEBUFFER)
    if status != GL.GL_FRAMEBUFFER_COMPLETE:
        raise RuntimeError(f"OpenGL: want a frame buffer of {len(colors)} colour targets, got status {status}")
    return name


def buffer(kind: int, data: np.ndarray, usage: int = GL.GL_STATIC_DRAW) -> int:
    """A buffer that holds an array."""
    name = int(GL.glGenBuffers(1))
    GL.glBindBuffer(kind, name)
    GL.glBufferData(kind, data.nbytes, np.ascontiguousarray(data), usage)
    return name
