"""What a run leaves behind while it trains: states to go on from, the pipeline of averaged weights, sample videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.config import RunConfig
from model.image_encoder import ClipImageEncoder
from model.latents import Codec
from model.network import DuetUNet
from model.parallel import Processes, whole
from model.pipeline import TogetherVideoPipeline
from model.run_folder import RunFolder
from model.samples import Shown, write_sample
from model.train_state import Learner, save_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Writes into a run's folder. Every process calls; `shown` is the main one's, for sample videos."""

    config: RunConfig
    folder: RunFolder
    learner: Learner
    codec: Codec
    clip: ClipImageEncoder | None
    processes: Processes
    shown: Shown | None

    def keep(self, step: int, place: Mapping[str, Any], *, state: bool, sample: bool) -> Path | None:
        """A state and the pipeline, a sample video, or all; gives where the video lies."""
        if state:
            self._state(step, place)
        pipeline, path = self._pipeline(), None
        if pipeline and state:
            self.folder.replace_pipeline(pipeline.save_pretrained)
        if pipeline and sample and self.shown:
            path = self.folder.path / "samples" / f"step-{step:08d}.mp4"
            with self.learner.precision.counting():
                write_sample(pipeline.to(self.processes.device), self.shown, path)
        self.processes.wait()
        return path

    def _state(self, step: int, place: Mapping[str, Any]) -> None:
        if self.processes.main:
            self.folder.begin_state(step)
        self.processes.wait()
        save_state(self.folder.state_aside(step), self.learner, place, self.processes)
        self.processes.wait()
        if self.processes.main:
            self.folder.finish_state(step)

    def _pipeline(self) -> TogetherVideoPipeline | None:
        """The pipeline with the average in place of what learns, on the main process; None on others, who give theirs.

        Its network is one of its own: that in training may be spread over processes.
        """
        weights = {}
        with self.learner.ema.shown():
            for name, tensor in self.learner.network.state_dict().items():
                full = whole(tensor)
                if self.processes.main:
                    weights[name] = full.to("cpu", copy=True)
        if not self.processes.main:
            return None
        with torch.device("meta"):
            network = DuetUNet.of(self.config.network)
        network.load_state_dict(weights, assign=True)
        return TogetherVideoPipeline.of(network.eval(), self.codec, self.clip)
