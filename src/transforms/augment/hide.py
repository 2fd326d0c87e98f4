"""Augmentations that make landmarks missing: a stretch of time, a box of the image.

What is hidden becomes NaN, as if it had not been detected; its frames stay real, and nothing else
changes. Letters: **B** batch, **T** frames, **L** points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.space import where_chosen
from src.transforms.pipeline import Draw


@dataclass(frozen=True)
class HideFrames:
    """Hide everything in one stretch of `low` to `high` of the frames, rounded down.

    Args:
        p: probability per clip.
        low: shortest stretch, as a share of the clip's frames.
        high: longest stretch.
    """

    p: float
    low: float
    high: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n, n_frames = clips.mask.shape
        chosen = draw.chance(self.p, n)
        size = (draw.uniform(n, low=self.low, high=self.high) * clips.length).long()
        start = draw.integers(clips.length - size)
        t = torch.arange(n_frames, device=size.device)
        hidden = (t >= start[:, None]) & (t < (start + size)[:, None])  # (B, T)
        new = torch.where(hidden[..., None, None], torch.nan, clips.xyz)
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))


@dataclass(frozen=True)
class HideBox:
    """Hide the points inside of one square, the same in all frames.

    Its corner is anywhere in the image, (x, y) from U(0, 1), its side from U(low, high).

    Args:
        p: probability per clip.
        low: shortest side, in image units.
        high: longest side.
    """

    p: float
    low: float
    high: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen = draw.chance(self.p, n)
        corner = draw.uniform(n, 1, 1, 2)
        side = draw.uniform(n, 1, 1, 1, low=self.low, high=self.high)
        xy = clips.xyz[..., :2]
        hidden = ((xy > corner) & (xy < corner + side)).all(-1, keepdim=True)  # (B, T, L, 1)
        new = torch.where(hidden, torch.nan, clips.xyz)
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))
