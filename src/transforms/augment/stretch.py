"""Augmentation along time that changes how many frames a clip has.

Letters: **B** batch, **T** frames, **L** points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.time import take_frames
from src.transforms.pipeline import Draw


def on_the_line(
    xyz: Float[Tensor, "B T L 3"], instant: Float[Tensor, "B T2"], length: Int[Tensor, " B"]
) -> Float[Tensor, "B T2 L 3"]:
    """Each clip at fractional instants (frames), linear between frames and beyond its ends.

    Beyond an end the line through the last two frames goes on; a clip of one frame stays what it
    is. NaN where one of the two frames is.
    """
    last = (length - 1)[:, None]
    before = torch.minimum(instant.floor().long().clamp(min=0), (last - 1).clamp(min=0))
    weight = (instant - before)[..., None, None]
    earlier, later = take_frames(xyz, before), take_frames(xyz, torch.minimum(before + 1, last))
    return earlier + weight * (later - earlier)


@dataclass(frozen=True)
class Stretch:
    """Another speed: round(k n) frames, evenly spaced from d to n - 1 + d, in place of n frames.

    k is from U(low, high), d from U(-shift, shift). A clip of one frame is left alone. Where p is
    not 0, the batch is padded to what its longest clip could need.
    Source: 2nd place's random_interpolate.

    Args:
        p: probability per clip.
        low: smallest factor k.
        high: largest factor k.
        shift: largest d, in frames.
    """

    p: float
    low: float
    high: float
    shift: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        if self.p == 0:
            return clips
        n, n_frames = clips.mask.shape
        length = clips.length
        chosen = draw.chance(self.p, n) & (length > 1)
        factor = draw.uniform(n, low=self.low, high=self.high)
        start = draw.uniform(n, 1, low=-self.shift, high=self.shift)
        new_length = (factor * length).round().long().clamp(min=1)
        new_length = torch.where(chosen, new_length, length)

        most = max(n_frames, math.ceil(self.high * n_frames))  # known without asking the device
        t = torch.arange(most, device=length.device)
        step = (length - 1) / (new_length - 1).clamp(min=1)
        new = on_the_line(clips.xyz, start + step[:, None] * t, length)
        old = take_frames(clips.xyz, t.clamp(max=n_frames - 1).expand(n, -1))
        xyz = torch.where(chosen[:, None, None, None], new, old)
        return clips.with_(xyz=xyz, mask=t < new_length[:, None])
