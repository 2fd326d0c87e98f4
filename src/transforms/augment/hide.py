"""Augmentations that make landmarks missing: some points, a stretch of time, a box of the image.

Hidden points become NaN, as if they had not been detected; their frames stay real, and nothing else
changes. Letters: **B** batch, **T** frames, **L** points.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import ByChance
from src.transforms.pipeline import Draw, within


@dataclass(frozen=True)
class HidePoints:
    """Coordinate dropout: in clips chosen with `p`, hide a `share` of the points throughout."""

    p: float
    share: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        n = len(clips.label)
        hidden = draw.chance(self.share, n, 1, len(layout), 1)
        chosen = draw.chance(self.p, n)[:, None, None, None]
        return clips.with_(xyz=torch.where(hidden & chosen, torch.nan, clips.xyz))


@dataclass(frozen=True)
class HideFrames(ByChance):
    """Hide all points in floor(s n) successive frames of n, where s is from U(low, high)."""

    low: float
    high: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        n, n_frames = clips.mask.shape
        size = (draw.uniform(n, low=self.low, high=self.high) * clips.length).long()
        hidden = within(draw.integers(clips.length - size), size, n_frames)
        return torch.where(hidden[..., None, None], torch.nan, clips.xyz)


@dataclass(frozen=True)
class HideBox(ByChance):
    """Hide the points inside one square, the same in all frames.

    Its corner (x, y) is from U(0, 1), anywhere in the image; its side is from U(low, high).
    """

    low: float
    high: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        n = len(clips.label)
        corner = draw.uniform(n, 1, 1, 2)
        side = draw.uniform(n, 1, 1, 1, low=self.low, high=self.high)
        xy = clips.xyz[..., :2]
        hidden = ((xy > corner) & (xy < corner + side)).all(-1, keepdim=True)  # (B, T, L, 1)
        return torch.where(hidden, torch.nan, clips.xyz)
