"""Clips: one clip as MediaPipe gives it, and the padded batch that a model is trained on.

Letters: **B** batch, **T** frames, **L** points of a layout, **K** signs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from src.landmarks import N_LANDMARKS

# All landmarks of every frame, (T, N_LANDMARKS, 3): x and y in picture widths and heights, x right,
# y down; NaN = not detected. No letter stands for T, because the clips of a list differ in length.
RawClip = Float[np.ndarray | Tensor, f"_ {N_LANDMARKS} 3"]


@dataclass(frozen=True)
class Clips:
    """A batch of clips, padded at the end to a common number of frames."""

    # Float32, image units or normalised, x right, y down; NaN = not detected. Padded frames may
    # hold anything.
    xyz: Float[Tensor, "B T L 3"]
    mask: Bool[Tensor, "B T"]  # True = a real frame; every clip has at least one
    label: Int[Tensor, "B"]  # int64, the sign's number

    def with_(self, **changes) -> Clips:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    @property
    def length(self) -> Int[Tensor, "B"]:
        """Real frames of each clip."""
        return self.mask.sum(1)

    @property
    def seen(self) -> Bool[Tensor, "B T L"]:
        """True where a point was detected in a real frame."""
        return ~self.xyz[..., 0].isnan() & self.mask[..., None]

    def repeat(self, times: int) -> Clips:
        """Put `times` copies of the batch one after the other: xyz is (times * B, T, L, 3)."""
        return Clips(*(torch.cat([x] * times) for x in (self.xyz, self.mask, self.label)))

    def part(self, rows: slice, copies: int = 1) -> Clips:
        """The clips in `rows` of each of the `copies` batches in this one; padding stays."""
        fields = (self.xyz, self.mask, self.label)
        return Clips(*(x.unflatten(0, (copies, -1))[:, rows].flatten(0, 1) for x in fields))

    def to(self, device: torch.device | str) -> Clips:
        """The batch on another device."""
        return Clips(self.xyz.to(device), self.mask.to(device), self.label.to(device))
