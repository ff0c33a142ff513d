"""A SAM 2.1 hiera-tiny with random parameters: the real network's interface at a size that tests can run."""

from __future__ import annotations

from pathlib import Path

IMAGE_SIZE = 64


def tiny_sam2_checkpoint(path: str | Path) -> Path:
    """Write a checkpoint that loads as sam2.1-hiera-tiny, and give its path. Equal bytes' worth of parameters each
    time.

    The parameters are random but for two biases: it says that an object is there, and sees one where it is prompted
    about half of the time, so that masks are neither empty nor full.
    """
    import torch
    from sam2.build_sam import build_sam2_video_predictor

    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(20250518)
        model = build_sam2_video_predictor("configs/sam2.1/sam2.1_hiera_t.yaml", ckpt_path=None, device="cpu")
    finally:
        torch.random.set_rng_state(state)
    with torch.no_grad():
        head = [layer for layer in model.sam_mask_decoder.pred_obj_score_head.modules() if hasattr(layer, "bias")]
        head[-1].bias.fill_(8.0)
    torch.save({"model": model.state_dict()}, path)
    return Path(path)
