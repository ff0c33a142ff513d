"""SAM 2.1's video predictor, as Meta's code has it, in bounded memory on clips of any length.

The stock `init_state` holds every frame as float32, and every output of every frame. Here frames are decoded when
they are looked at, image features are kept for a few frames, and outputs as long as memory attention can reach
them.
"""

from __future__ import annotations

import contextlib
import functools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor

from datasets.masks import encode_rle
from datasets.records import Poses, Tracklets
from datasets.video import read_window
from tasks.backends.logit_file import LogitFile
from tasks.ops.drift import drifted
from tasks.ops.mask_ops import box_of
from tasks.ops.prompts import Prompt, prompt_at, prompts_of

CONFIGS = {
    "sam2.1-hiera-tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1-hiera-small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1-hiera-base-plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1-hiera-large": "configs/sam2.1/sam2.1_hiera_l.yaml",
}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as sam2.utils.misc.load_video_frames takes
_FEATURES = 4  # frames whose image features are kept
_TOGETHER = 8  # tracklets propagated in one pass


class Frames(Protocol):
    """A clip's frames as the network takes them, by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, t: int) -> torch.Tensor:
        """(3, S, S) float32, normalised."""
        ...


class ClipFrames:
    """A clip's frames, decoded in short runs when asked for; two runs are held."""

    def __init__(self, path: Path, frames: int, image_size: int, run: int = 12) -> None:
        self._path, self._frames, self._size, self._run = path, frames, image_size, run
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, t: int) -> torch.Tensor:
        which = t // self._run
        if which not in self._held:
            indices = range(which * self._run, min((which + 1) * self._run, self._frames))
            self._held[which] = read_window(self._path, list(indices), size=(self._size, self._size))
            while len(self._held) > 2:
                self._held.popitem(last=False)
        image = torch.from_numpy(self._held[which][t - which * self._run]).permute(2, 0, 1).float() / 255
        return (image - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]


class BoundedPredictor(SAM2VideoPredictor):
    """The stock predictor, fed frame by frame, forgetting what it cannot reach any more."""

    def session(self, frames: Frames, size: tuple[int, int]) -> dict[str, Any]:
        """What `init_state` makes, for lazily decoded frames of a (h, w) video. Nothing is computed yet."""
        return {
            "images": frames,
            "num_frames": len(frames),
            "offload_video_to_cpu": True,
            "offload_state_to_cpu": False,
            "video_height": size[0],
            "video_width": size[1],
            "device": self.device,
            "storage_device": self.device,
            "point_inputs_per_obj": {},
            "mask_inputs_per_obj": {},
            "cached_features": {},
            "constants": {},
            "obj_id_to_idx": OrderedDict(),
            "obj_idx_to_id": OrderedDict(),
            "obj_ids": [],
            "output_dict_per_obj": {},
            "temp_output_dict_per_obj": {},
            "frames_tracked_per_obj": {},
        }

    @property
    def reach(self) -> int:
        """Frames back to which memory attention looks: its spatial memories and its object pointers."""
        return max(self.num_maskmem * self.memory_temporal_stride_for_eval, self.max_obj_ptrs_in_encoder)

    def _get_image_feature(self, inference_state: dict[str, Any], frame_idx: int, batch_size: int) -> Any:
        known = inference_state["cached_features"]
        out = super()._get_image_feature(inference_state, frame_idx, batch_size)
        # The stock method keeps one frame only: put back the ones before it.
        newest = inference_state["cached_features"].pop(frame_idx)
        kept = {t: feature for t, feature in known.items() if t != frame_idx}
        kept[frame_idx] = newest
        while len(kept) > _FEATURES:
            kept.pop(next(iter(kept)))
        inference_state["cached_features"] = kept
        return out

    @torch.inference_mode()
    def follow(
        self, state: dict[str, Any], last: Sequence[int], *, reverse: bool, newest: bool = False
    ) -> Iterator[tuple[int, int, torch.Tensor, float]]:
        """(frame, object, mask logits (S/4, S/4), object score logit), frame by frame from the first prompts on.

        Each object goes from its earliest prompt to frame `last[object]`, forward or in reverse; forward comes
        first, as in the stock predictor's use. With `newest` it goes from its latest prompt, in reverse, in a session
        of its own. What is further away than `reach` is forgotten, but for the prompts' own frames.
        """
        self.propagate_in_video_preflight(state)
        outputs = state["output_dict_per_obj"]
        first = {i: (max if newest else min)(out["cond_frame_outputs"]) for i, out in outputs.items()}
        active = [i for i in outputs if (last[i] <= first[i] if reverse else last[i] >= first[i])]
        if not active:
            return
        begin = max(first[i] for i in active) if reverse else min(first[i] for i in active)
        finish = min(last[i] for i in active) if reverse else max(last[i] for i in active)
        for t in range(begin, finish - 1, -1) if reverse else range(begin, finish + 1):
            for i in active:
                if not (last[i] <= t <= first[i] if reverse else first[i] <= t <= last[i]):
                    continue
                out = self._step(state, outputs[i], t, reverse)
                yield t, i, out["pred_masks"][0, 0], float(out["object_score_logits"])
                self._forget(outputs[i]["non_cond_frame_outputs"], t, first[i], reverse)

    def _step(self, state: dict[str, Any], output: dict[str, Any], t: int, reverse: bool) -> dict[str, Any]:
        if t in output["cond_frame_outputs"]:
            return output["cond_frame_outputs"][t]
        out, masks = self._run_single_frame_inference(
            inference_state=state,
            output_dict=output,
            frame_idx=t,
            batch_size=1,
            is_init_cond_frame=False,
            point_inputs=None,
            mask_inputs=None,
            reverse=reverse,
            run_mem_encoder=True,
        )
        output["non_cond_frame_outputs"][t] = out
        return {**out, "pred_masks": masks}

    def _forget(self, outputs: dict[int, dict[str, Any]], t: int, first: int, reverse: bool) -> None:
        """Drop what no later step reaches. The frames after the first prompt wait for the way back."""
        for frame in list(outputs):
            gone = frame > t + self.reach if reverse else frame < t - self.reach
            if gone and not (not reverse and first < frame <= first + self.reach):
                del outputs[frame]
            else:
                # Memory attention reads the memory and the pointer; the mask was given out.
                outputs[frame]["pred_masks"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sam2:
    """How to carry tracklets' masks through a clip."""

    model: BoundedPredictor
    reach: int  # frames beyond a tracklet's ends
    prompts: int = 3  # most frames of a tracklet in which it is prompted
    rounds: int = 2  # how often a tracklet whose mask drifts from its boxes is prompted once more

    def segment(
        self, path: Path, frames: int, size: tuple[int, int], tracklets: Tracklets, poses: Poses
    ) -> Iterator[tuple[int, int, float, bytes]]:
        """(frame, tracklet, score, COCO counts), ascending by frame; no row where SAM 2 sees nothing.

        Masks of tracklets that were both found in a frame exclude each other by comparing logits; where a mask is only
        carried on, it may be the same person as another's, and is left as it is.
        """
        prompts = prompts_of(tracklets, poses, most=self.prompts)
        order = sorted(prompts, key=lambda name: (min(p.frame for p in prompts[name]), name))
        pictures = ClipFrames(path, frames, self.model.image_size)
        with LogitFile() as kept, precision(self.model.device):
            for k in range(0, len(order), _TOGETHER):
                shown = {name: prompts[name] for name in order[k : k + _TOGETHER]}
                for _ in range(self.rounds + 1):
                    self._carry(pictures, size, shown, tracklets, kept)
                    shown = self._shown_again(shown, tracklets, poses, kept, size)
                    if not shown:
                        break
            found = {(int(t), int(n)) for t, n in zip(tracklets.frame, tracklets.tracklet, strict=True)}
            for t in range(frames):
                yield from _rows(t, kept.at(t), found, size)

    def _carry(
        self,
        pictures: ClipFrames,
        size: tuple[int, int],
        prompts: dict[int, list[Prompt]],
        tracklets: Tracklets,
        kept: LogitFile,
    ) -> None:
        """Prompt some tracklets, carry them forward, then back."""
        state = self.model.session(pictures, size)
        names = list(prompts)
        for name in names:
            for prompt in prompts[name]:
                self.model.add_new_points_or_box(
                    state, prompt.frame, name, points=prompt.points, labels=prompt.labels, box=prompt.box
                )
        own = {name: tracklets.frame[tracklets.tracklet == name] for name in names}
        ends = {
            False: [min(int(own[name].max()) + self.reach, len(pictures) - 1) for name in names],
            True: [max(int(own[name].min()) - self.reach, 0) for name in names],
        }
        for reverse, last in ends.items():
            for t, i, logits, score in self.model.follow(state, last, reverse=reverse):
                kept.put(t, names[i], logits.float().cpu().numpy(), score)

    def _shown_again(
        self,
        shown: dict[int, list[Prompt]],
        tracklets: Tracklets,
        poses: Poses,
        kept: LogitFile,
        size: tuple[int, int],
    ) -> dict[int, list[Prompt]]:
        """Of these tracklets, those whose mask has left their boxes, with one prompt more where it is furthest off."""
        again = {}
        for name, prompts in shown.items():
            rows = np.flatnonzero(tracklets.tracklet == name)
            tight = np.array([_tight(kept.at(int(t)).get(name), size) for t in tracklets.frame[rows]], np.float32)
            row = drifted(rows, tracklets, tight, [prompt.frame for prompt in prompts])
            if row is not None:
                again[name] = sorted([*prompts, prompt_at(row, tracklets, poses)], key=lambda prompt: prompt.frame)
        return again


def _tight(logits: tuple[np.ndarray, float] | None, size: tuple[int, int]) -> np.ndarray:
    """The box of low-resolution logits above 0, in the video's pixels; zeros where there is nothing."""
    if logits is None:
        return np.zeros(4, np.float32)
    low = logits[0]
    scale = np.array([size[1] / low.shape[1], size[0] / low.shape[0]] * 2, np.float32)
    return box_of(low > 0) * scale


def _rows(
    t: int, logits: dict[int, tuple[np.ndarray, float]], found: set[tuple[int, int]], size: tuple[int, int]
) -> Iterator[tuple[int, int, float, bytes]]:
    """One frame's masks from low-resolution logits."""
    whole = {name: enlarge(low, size) for name, (low, _) in logits.items()}
    rivals = sorted(name for name in whole if (t, name) in found)
    best = np.argmax([whole[name] for name in rivals], axis=0) if rivals else None
    for name in sorted(whole):
        mask = whole[name] > 0
        if best is not None and name in rivals:
            mask &= best == rivals.index(name)
        counts = encode_rle(mask, size)
        if counts:
            yield t, name, float(1 / (1 + np.exp(-logits[name][1]))), counts


def enlarge(low: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Logits at the video's size, as the stock predictor makes them."""
    tensor = torch.from_numpy(low)[None, None]
    return torch.nn.functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def precision(device: torch.device) -> Any:
    """bfloat16 on a GPU, as Meta's examples run it; float32 elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


@functools.lru_cache(maxsize=2)
def predictor(name: str, image_size: int, path: str, device: str, threads: int) -> BoundedPredictor:
    """SAM 2.1 of this name with the parameters of a checkpoint file.

    Raises ValueError when the file holds something else. The checkpoint is read with weights_only: nothing in it runs.
    """
    torch.set_num_threads(threads)
    model = build_sam2_video_predictor(
        CONFIGS[name],
        ckpt_path=None,
        device="cpu",
        hydra_overrides_extra=[
            f"++model._target_={__name__}.{BoundedPredictor.__name__}",
            f"++model.image_size={image_size}",
            # Meta's hole filling is a CUDA extension that the package does not carry: off, so that devices agree.
            "++model.fill_hole_area=0",
        ],
    )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model"]
        model.load_state_dict(state)
    except Exception as error:  # torch raises pickle, zip, key and runtime errors alike
        raise ValueError(f"{path}: want the checkpoint of {name}, got {type(error).__name__}: {error}") from error
    return model.to(device).eval()
