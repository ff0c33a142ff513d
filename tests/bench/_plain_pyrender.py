"""The other side of bench/render.py: a plain pyrender loop that builds the scene anew each frame and makes the same
outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.backends import egl
from tasks.ops.backdrop import Place, wall_mesh
from tasks.ops.camera import FAR_M, NEAR_M, View

_kept: list[object] = []
OUTSIDE = 1.5  # of the backdrop's radius: how far the floor goes


class PlainLoop:
    """pyrender as its manual shows it: meshes, a light, a camera; then colour, SEG and a SEG a person."""

    def __init__(self, size: tuple[int, int], faces: Sequence[np.ndarray], colors: Sequence[np.ndarray], place: Place):
        """faces (F, 3) and linear vertex colours (V, 4) of every performer."""
        with egl.context():  # chooses EGL, and mends what pyrender needs mended, before pyrender is imported
            import pyrender

        self._pyrender = pyrender
        self._renderer = pyrender.OffscreenRenderer(size[1], size[0])
        # Deleting one ends the EGL display of the whole process, and with it every other context: keep it to the end.
        _kept.append(self._renderer)
        self._faces, self._colors, self._place = faces, colors, place

    def frame(self, vertices: Sequence[np.ndarray], view: View) -> dict[str, np.ndarray]:
        """color (h, w, 3), person (h, w), depth (h, w) metres, amodal (P, h, w)."""
        flags = self._pyrender.RenderFlags
        scene, nodes = self._scene(vertices, view)
        color, depth = self._renderer.render(scene)
        ids = {node: p + 1 for p, node in enumerate(nodes[:-2])} | dict.fromkeys(nodes[-2:], 0)
        person, _ = self._renderer.render(scene, flags.SEG, ids)
        amodal = [self._renderer.render(scene, flags.SEG, {node: 1})[0][..., 0] > 0 for node in nodes[:-2]]
        self._forget(scene)
        return {"color": color, "person": person[..., 0], "depth": depth, "amodal": np.stack(amodal)}

    def _scene(self, vertices: Sequence[np.ndarray], view: View):
        render = self._pyrender
        place = self._place
        scene = render.Scene(bg_color=[0, 0, 0, 0], ambient_light=0.5 * (place.sky + place.ground))
        rough = render.MetallicRoughnessMaterial(metallicFactor=0.0, roughnessFactor=0.8)
        nodes = []
        for body, faces, color in zip(vertices, self._faces, self._colors, strict=True):
            primitive = render.Primitive(
                positions=body, normals=_normals(body, faces), indices=faces, color_0=color, material=rough
            )
            nodes.append(scene.add(render.Mesh([primitive])))
        nodes += [scene.add(render.Mesh([primitive])) for primitive in self._ground()]
        pose = np.linalg.inv(np.diag([1.0, -1.0, -1.0, 1.0]) @ view.extrinsics)
        k = view.intrinsics
        lens = render.IntrinsicsCamera(k[0, 0], k[1, 1], k[0, 2], k[1, 2], znear=NEAR_M, zfar=FAR_M)
        scene.add(lens, pose=pose)
        scene.add(render.DirectionalLight(color=np.ones(3), intensity=float(place.light.mean())), pose=_facing(place))
        return scene, nodes

    def _ground(self):
        render, place = self._pyrender, self._place
        r = OUTSIDE * place.radius_m
        corners = np.array([[-r, 0, -r], [-r, 0, r], [r, 0, r], [r, 0, -r]], np.float32)
        matte = {"metallicFactor": 0.0, "roughnessFactor": 1.0, "doubleSided": True}
        floor_rgb = np.append((place.floor.reshape(-1, 3).mean(0) / 255) ** 2, 1)
        wall_rgb = np.append(place.cove / (0.5 * (place.sky + place.ground)), 1)
        yield render.Primitive(
            positions=corners, normals=np.tile(np.float32([0, 1, 0]), (4, 1)), indices=np.array([[0, 1, 2], [0, 2, 3]]),
            material=render.MetallicRoughnessMaterial(baseColorFactor=floor_rgb, **matte),
        )  # fmt: skip
        # Facing down, away from the light: ambient light alone shows it, as the backdrop is in ours.
        wall = wall_mesh(place)[:, :3]
        yield render.Primitive(
            positions=wall, normals=np.tile(np.float32([0, -1, 0]), (len(wall), 1)),
            material=render.MetallicRoughnessMaterial(baseColorFactor=wall_rgb, **matte),
        )  # fmt: skip

    @staticmethod
    def _forget(scene) -> None:
        """Give the frame's buffers back: pyrender would keep those of every scene it ever drew."""
        for mesh in scene.meshes:
            for primitive in mesh.primitives:
                primitive.delete()


def _normals(body: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Vertex normals as trimesh gives them to pyrender.Mesh.from_trimesh."""
    import trimesh

    return np.asarray(trimesh.Trimesh(body, faces, process=False).vertex_normals, np.float32)


def _facing(place: Place) -> np.ndarray:
    """The pose of a light that shines along its -z."""
    z = place.to_light
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    return pose
