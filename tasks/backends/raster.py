"""The drawing itself: one pass over all bodies writes colour, who, which part and how far; a second, only where
people's boxes meet, everyone's whole silhouette.

Buffers stay from frame to frame; only vertex positions and normals are uploaded. Use only inside `pyrender.raster`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from OpenGL import GL

from tasks.backends import gl, shaders
from tasks.backends.egl import Context
from tasks.backends.meshes import Bodies, Ground
from tasks.backends.pyrender import Style
from tasks.ops.backdrop import Place
from tasks.ops.camera import View, gl_clip
from tasks.ops.drawn import Frame
from tasks.ops.lighting import Box, body_boxes, overlap_boxes, shadow_matrix, shadow_reach, union_box
from tasks.ops.surface import Surface

_SHADOW = 512  # texels a side
# Metres that a body's point is moved out before its shadow is looked up: the caster is coarser than the body by about
# this.
_LIFT = 0.03
_COLOR, _EXACT, _AMODAL = range(3)
# The drawing holds the root of linear light, pictures hold gamma 2.2.
_GAMMA = np.round(255 * (np.arange(256) / 255) ** (2 / 2.2)).astype(np.uint8)


class Raster:
    """Draws one cast of performers in one place."""

    def __init__(
        self,
        context: Context,
        size: tuple[int, int],
        surfaces: Sequence[Surface],
        palettes: Sequence[np.ndarray],
        place: Place,
        style: Style,
    ) -> None:
        self._size, self._place, self._style = size, place, style
        # One byte of bits where eight people fit in: less to read back.
        self._bits = np.dtype(np.uint8 if len(surfaces) <= 8 else np.uint32)
        self._bit = np.array([0, *(1 << p for p in range(32))] + [0] * 223, np.uint64).astype(self._bits)
        self._programs = _kept(context, "programs", _programs)
        self._targets = _kept(context, ("targets", size, self._bits), lambda: _Targets(size, self._bits))
        self._shadow_map = _kept(context, "shadow map", lambda: gl.shadow_texture(_SHADOW))
        self._shadow_target = _kept(context, "shadow target", lambda: gl.target([], self._shadow_map))
        self._bodies, self._ground = Bodies(surfaces), Ground(place)
        table = np.ascontiguousarray(np.stack(palettes), np.float32)
        self._palette = gl.texture("rgba32f", table.shape[:2], table)
        self._floor = gl.texture("rgb8", place.floor.shape[:2], np.ascontiguousarray(place.floor), repeats=True)
        self._wall = gl.texture("rgb8", place.wall.shape[:2], np.ascontiguousarray(place.wall), linear=True)

    def close(self) -> None:
        """Free what belongs to this cast; programs and targets stay with the context."""
        GL.glDeleteTextures([self._palette, self._floor, self._wall])
        self._bodies.close()
        self._ground.close()

    def frames(self, moments: Iterable[tuple[Sequence[np.ndarray], View]]) -> Iterator[Frame]:
        """A Frame for each (vertices (V, 3) float32 of every performer, View), in order.

        A frame is read only when the next one's vertices have come, so that a software rasteriser's threads draw it
        while Python makes those and works on the frame before.
        """
        drawn = False
        smoothed: Box | None = None
        for vertices, view in moments:
            self._bodies.upload(vertices)
            world_clip = gl_clip(view, self._size)
            boxes = body_boxes(vertices, world_clip, self._size)
            before = self._read(smoothed) if drawn else None
            self._draw(world_clip, view, overlap_boxes(boxes))
            drawn = True
            smoothed = union_box(boxes, 2, self._size) if self._style.smooth else None
            if before is not None:
                yield before
        if drawn:
            yield self._read(smoothed)

    def _draw(self, world_clip: np.ndarray, view: View, overlaps: Sequence[Box | None]) -> None:
        """Queue one frame's drawing."""
        light_clip = shadow_matrix(self._bodies.position, self._place.to_light, _SHADOW)
        self._draw_shadow(light_clip)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._targets.main)
        GL.glViewport(0, 0, self._size[1], self._size[0])
        GL.glEnable(GL.GL_DEPTH_TEST)
        GL.glDepthFunc(GL.GL_LESS)
        _write(_COLOR, _EXACT, _AMODAL)
        GL.glClearBufferfv(GL.GL_COLOR, _COLOR, np.append(np.sqrt(self._place.cove), 1).astype(np.float32))
        GL.glClearBufferuiv(GL.GL_COLOR, _EXACT, np.zeros(4, np.uint32))
        GL.glClearBufferuiv(GL.GL_COLOR, _AMODAL, np.zeros(4, np.uint32))
        GL.glClearBufferfv(GL.GL_DEPTH, 0, np.ones(1, np.float32))
        self._draw_silhouettes(world_clip, overlaps)
        _write(_COLOR, _EXACT)
        light = self._lighting(view, light_clip)
        self._draw_bodies(world_clip, light)
        self._draw_place(world_clip, light, view)
        GL.glFlush()

    def _draw_shadow(self, light_clip: np.ndarray) -> None:
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._shadow_target)
        GL.glViewport(0, 0, _SHADOW, _SHADOW)
        GL.glEnable(GL.GL_DEPTH_TEST)
        GL.glDisable(GL.GL_CULL_FACE)
        GL.glClearBufferfv(GL.GL_DEPTH, 0, np.ones(1, np.float32))
        if self._style.shadows:
            self._programs["shadow"].use(light_clip=light_clip)
            self._bodies.draw_casters()

    def _draw_silhouettes(self, world_clip: np.ndarray, boxes: Sequence[Box | None]) -> None:
        """A bit for each person wherever another's box meets theirs; elsewhere what is seen is all there is.

        The floor is laid first, so that a sole under it counts as little here as in what is seen.
        """
        if not any(boxes):
            return
        self._programs["bit"].use(world_clip=world_clip)
        _write()
        GL.glDisable(GL.GL_CULL_FACE)
        self._ground.draw_floor()
        _write(_AMODAL)
        GL.glDepthMask(False)
        GL.glEnable(GL.GL_COLOR_LOGIC_OP)
        GL.glLogicOp(GL.GL_OR)
        GL.glEnable(GL.GL_SCISSOR_TEST)
        GL.glEnable(GL.GL_CULL_FACE)
        for person, box in enumerate(boxes):
            if box is not None:
                GL.glScissor(*box)
                self._programs["bit"].use(bit=np.uint32(1 << person))
                self._bodies.draw_one(person)
        GL.glDisable(GL.GL_SCISSOR_TEST)
        GL.glDisable(GL.GL_COLOR_LOGIC_OP)
        GL.glDepthMask(True)
        GL.glClearBufferfv(GL.GL_DEPTH, 0, np.ones(1, np.float32))

    def _draw_bodies(self, world_clip: np.ndarray, light: dict[str, Any]) -> None:
        GL.glEnable(GL.GL_CULL_FACE)
        GL.glActiveTexture(GL.GL_TEXTURE1)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._palette)
        self._programs["body"].use(world_clip=world_clip, **light, palette=1, lift=_LIFT)
        self._bodies.draw()

    def _draw_place(self, world_clip: np.ndarray, light: dict[str, Any], view: View) -> None:
        place = self._place
        GL.glDisable(GL.GL_CULL_FACE)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._floor)
        look = {
            "floor_texture": 1, "cove": place.cove, "radius": place.radius_m, "centre": place.centre,
            "texels_per_pixel": place.floor.shape[0] / place.tile_m / float(view.intrinsics[0, 0]),
        }  # fmt: skip
        if self._style.shadows:
            self._ground.move_shade(*shadow_reach(self._bodies.position, place.to_light))
            self._programs["shaded floor"].use(world_clip=world_clip, **light, **look)
            self._ground.draw_shade()
            # The whole floor goes a hair behind the shaded piece, so that no seam can show between the two.
            GL.glEnable(GL.GL_POLYGON_OFFSET_FILL)
            GL.glPolygonOffset(1.0, 4.0)
        self._programs["floor"].use(world_clip=world_clip, **light, **look)
        self._ground.draw_floor()
        GL.glDisable(GL.GL_POLYGON_OFFSET_FILL)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._wall)
        self._programs["wall"].use(world_clip=world_clip, wall_texture=1)
        self._ground.draw_wall()

    def _lighting(self, view: View, light_clip: np.ndarray) -> dict[str, Any]:
        GL.glActiveTexture(GL.GL_TEXTURE0)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._shadow_map)
        place = self._place
        return {
            "eye": view.eye, "to_light": place.to_light, "light": place.light, "sky": place.sky, "ground": place.ground,
            "light_clip": light_clip, "shadow_texel": 1 / _SHADOW, "shadow_map": 0,
            "shadow_strength": 1.0 if self._style.shadows else 0.0,
        }  # fmt: skip

    def _smooth(self, box: Box) -> None:
        h, w = self._size
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._targets.smooth)
        GL.glDisable(GL.GL_DEPTH_TEST)
        GL.glEnable(GL.GL_SCISSOR_TEST)
        GL.glScissor(*box)
        GL.glActiveTexture(GL.GL_TEXTURE0)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._targets.color)
        self._programs["picture"].use(picture=0, texel=np.array([1 / w, 1 / h]))
        self._ground.draw_picture()
        GL.glDisable(GL.GL_SCISSOR_TEST)

    def _read(self, smoothed: Box | None) -> Frame:
        h, w = self._size
        targets = self._targets
        if smoothed is not None:
            self._smooth(smoothed)
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, targets.main)
        exact = _pixels(_EXACT, (0, 0, w, h), np.dtype(np.uint32))[::-1].copy()  # GL's first row is the bottom one
        bits = _pixels(_AMODAL, (0, 0, w, h), self._bits)[::-1]
        color = _pixels(_COLOR, (0, 0, w, h), None)
        if smoothed is not None:
            x, y, across, up = smoothed
            GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, targets.smooth)
            color[y : y + up, x : x + across] = _pixels(_COLOR, smoothed, None)
        rgb = cv2.flip(cv2.cvtColor(color, cv2.COLOR_RGBA2RGB), 0)
        person = cv2.extractChannel(exact.view(np.uint8).reshape(h, w, 4), 2)
        return Frame(
            color=cv2.LUT(rgb.reshape(h, 3 * w), _GAMMA).reshape(h, w, 3),
            person=person,
            part=cv2.extractChannel(exact.view(np.uint8).reshape(h, w, 4), 3),
            depth=cv2.extractChannel(exact.view(np.uint16).reshape(h, w, 2), 0),
            amodal=bits | (cv2.LUT(person, self._bit) if self._bits.itemsize == 1 else self._bit[person]),
        )


class _Targets:
    """Where one frame is drawn: colour, exact values, amodal bits, depth; and the smoothed colour."""

    def __init__(self, size: tuple[int, int], bits: np.dtype) -> None:
        self.color = gl.texture("rgba8", size, linear=True)
        exact, depth = gl.texture("r32ui", size), gl.texture("depth", size)
        amodal = gl.texture("r8ui" if bits.itemsize == 1 else "r32ui", size)
        self.main = gl.target([self.color, exact, amodal], depth)
        self.smooth = gl.target([gl.texture("rgba8", size)], None)


def _kept(context: Context, name: object, make: Callable[[], Any]) -> Any:
    """What the context keeps under this name, made at first."""
    if name not in context.kept:
        context.kept[name] = make()
    return context.kept[name]


def _programs() -> dict[str, gl.Program]:
    return {
        "body": gl.program(shaders.BODY_VERTEX, shaders.BODY_FRAGMENT),
        "bit": gl.program(shaders.BIT_VERTEX, shaders.BIT_FRAGMENT),
        "shadow": gl.program(shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT),
        "shaded floor": gl.program(shaders.GROUND_VERTEX, shaders.SHADED_FLOOR_FRAGMENT),
        "floor": gl.program(shaders.GROUND_VERTEX, shaders.FLOOR_FRAGMENT),
        "wall": gl.program(shaders.GROUND_VERTEX, shaders.WALL_FRAGMENT),
        "picture": gl.program(shaders.PICTURE_VERTEX, shaders.PICTURE_FRAGMENT),
    }


def _write(*targets: int) -> None:
    """Let the following draws write these colour targets and no other."""
    for i in range(3):
        on = i in targets
        GL.glColorMaski(i, on, on, on, on)


def _pixels(target: int, box: Box, dtype: np.dtype | None) -> np.ndarray:
    """Read a box of a colour target of the bound frame buffer: integers of a dtype (h, w), or (h, w, 4) uint8 of
    colour.
    """
    x, y, w, h = box
    GL.glReadBuffer(GL.GL_COLOR_ATTACHMENT0 + target)
    if dtype is None:
        out = np.empty((h, w, 4), np.uint8)
        GL.glReadPixels(x, y, w, h, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, out)
    else:
        out = np.empty((h, w), dtype)
        number = GL.GL_UNSIGNED_BYTE if dtype.itemsize == 1 else GL.GL_UNSIGNED_INT
        GL.glReadPixels(x, y, w, h, GL.GL_RED_INTEGER, number, out)
    return out
