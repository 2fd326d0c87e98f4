"""Clip steps that give every clip the same number of frames.

Functions of one clip (T, L, 3) that torch.export can follow at any T. Letters: **T** frames,
**L** points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.landmarks import Layout


@dataclass(frozen=True)
class FitLength:
    """Bring a clip to `n_frames`: frames of a short one are repeated, those of a long one averaged.

    New frame i is the mean of the frames from floor(i T / n_frames) up to, not including,
    floor((i + 1) T / n_frames), and of at least one frame. So each frame of a long clip counts
    once. A coordinate's mean is over the frames in which it was detected; NaN if there is none.
    Source: Slovo, recognition.md 4.2.

    Args:
        n_frames: the number of frames that every clip gets.
        keep_short: leave shorter clips as they are, as the authors' code does; they are padded.
    """

    n_frames: int
    keep_short: bool = False

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T2 L 3"]:
        n, n_new = xyz.shape[0], self.n_frames
        if self.keep_short:
            n_new = torch.sym_min(n, n_new)
        i = torch.arange(n_new)
        start, end = i * n // n_new, (i + 1) * n // n_new
        t = torch.arange(n)
        averaged = (t >= start[:, None]) & (t < torch.maximum(end, start + 1)[:, None])
        weight = averaged.to(xyz.dtype)  # (T2, T)
        missing = xyz.isnan()
        total = weight @ torch.where(missing, 0.0, xyz).flatten(1)
        count = weight @ (~missing).to(xyz.dtype).flatten(1)
        mean = torch.where(count > 0, total / count.clamp(min=1), torch.nan)
        return mean.unflatten(1, xyz.shape[1:])
