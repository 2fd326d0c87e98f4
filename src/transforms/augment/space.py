"""Augmentations that move every point of a clip alike: flip, rotate, scale.

Each clip of a batch draws for itself; one draw holds for all its frames. NaN stays NaN. Letters:
**B** batch, **T** frames, **L** points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import ByChance
from src.transforms.pipeline import Draw, index

Pairs = tuple[tuple[int, int], ...]  # of landmarks


def partners(layout: Layout, pairs: Pairs = ()) -> tuple[int, ...]:
    """Each point's mirror partner, as a row of the layout; `pairs` replace the layout's own."""
    partner = list(layout.mirror)
    for a, b in pairs:
        partner[layout.row(a)], partner[layout.row(b)] = layout.row(b), layout.row(a)
    return tuple(partner)


def mirrored(
    xyz: Float[Tensor, "B T L 3"], layout: Layout, centre: float, pairs: Pairs = ()
) -> Float[Tensor, "B T L 3"]:
    """Mirror about x = `centre`; left and right points change places."""
    swapped = xyz[:, :, index(partners(layout, pairs), xyz.device)]
    x, yz = swapped.split([1, 2], dim=-1)
    return torch.cat([2 * centre - x, yz], -1)


def rotated(xyz: Float[Tensor, "B T L 3"], angle: Float[Tensor, " B"]) -> Float[Tensor, "B T L 3"]:
    """Rotate (x, y) about the origin by `angle` radians; z stays."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y, z = xyz.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], -1)


@dataclass(frozen=True)
class Flip(ByChance):
    """Mirror the clip: x becomes its mirror image and every point its mirror partner.

    Args:
        centre: the mirror's x: 0 for centred landmarks, 0.5 for image coordinates.
        pairs: landmarks that change places here, other than in `landmarks.MIRROR`, because a
            published table has it so.
    """

    centre: float = 0.0
    pairs: Pairs = ()

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        return mirrored(clips.xyz, layout, self.centre, self.pairs)


@dataclass(frozen=True)
class Rotate(ByChance):
    """Rotate in the image plane about the origin by an angle from U(-degrees, degrees)."""

    degrees: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        limit = math.radians(self.degrees)
        return rotated(clips.xyz, draw.uniform(len(clips.label), low=-limit, high=limit))


@dataclass(frozen=True)
class Scale(ByChance):
    """Resize by one factor from U(low, high), and some of the clips by another one per axis.

    Args:
        low: smallest factor.
        high: largest factor.
        distort_p: probability, among the scaled clips, of a further factor for each axis.
        distort_by_sum: add the axis factor to the common one, as the authors' code does, which
            doubles the size; the document's distortion is read as their product.
        centre: x and y of the point that stays: 0 for centred landmarks, 0.5 for image coordinates.
    """

    low: float
    high: float
    distort_p: float = 0.0
    distort_by_sum: bool = False
    centre: float = 0.0

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        n = len(clips.label)
        distorted = draw.chance(self.distort_p, n)
        factor = draw.uniform(n, 1, low=self.low, high=self.high)
        by_axis = draw.uniform(n, 3, low=self.low, high=self.high)
        both = factor + by_axis if self.distort_by_sum else factor * by_axis
        factor = torch.where(distorted[:, None], both, factor)  # (B, 3)
        new = clips.xyz * factor[:, None, None]
        if self.centre:
            xy, z = new.split([2, 1], dim=-1)
            new = torch.cat([xy + self.centre * (1 - factor[:, None, None, :2]), z], -1)
        return new
