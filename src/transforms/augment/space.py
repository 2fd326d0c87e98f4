"""Augmentations that move every point of a clip alike: flip, rotate, scale, shift, shear.

Every clip of a batch gets its own random values, the same for all frames. NaN stays NaN. Letters:
**B** batch, **T** frames, **L** points.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import ByChance
from src.transforms.pipeline import Draw, index

Pairs = tuple[tuple[int, int], ...]  # pairs of landmarks


def mirrored(
    xyz: Float[Tensor, "B T L 3"], layout: Layout, centre: float, pairs: Pairs = ()
) -> Float[Tensor, "B T L 3"]:
    """Mirror about x = `centre`; every point and its partner change places, see `Flip`."""
    partner = list(layout.mirror)
    for a, b in pairs:
        partner[layout.row(a)], partner[layout.row(b)] = layout.row(b), layout.row(a)
    x, yz = xyz[:, :, index(tuple(partner), xyz.device)].split([1, 2], dim=-1)
    return torch.cat([2 * centre - x, yz], -1)


def rotated(xyz: Float[Tensor, "B T L 3"], angle: Float[Tensor, " B"]) -> Float[Tensor, "B T L 3"]:
    """Rotate (x, y) about the origin by `angle` radians; z stays."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y, z = xyz.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], -1)


@dataclass(frozen=True)
class Flip(ByChance):
    """Mirror the clip: x is mirrored, and every point takes its mirror partner's place.

    Args:
        centre: x of the mirror: 0 for centred landmarks, 0.5 for image coordinates.
        pairs: landmarks that change places here, unlike in `landmarks.MIRROR`, because they do so
            in a published table.
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
    """Resize by one factor from U(low, high), and some clips by a further factor per axis.

    Args:
        distort_p: probability, among the scaled clips, of a further factor for each axis.
        distort_by_sum: add the axis factor to the common one, as the authors' code does, which
            doubles the size; the document is read as multiplying the two.
        centre: x and y of the fixed point: 0 for centred landmarks, 0.5 for image coordinates.
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


@dataclass(frozen=True)
class ScaleShiftRotate(ByChance):
    """Scale by U(low, high), shift each axis by U(-shift, shift), rotate by U(-degrees, degrees).

    The rotation is in the image plane, about the origin. Source: 2nd place's random_affine.
    """

    low: float
    high: float
    shift: float
    degrees: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        n, limit = len(clips.label), math.radians(self.degrees)
        factor = draw.uniform(n, 1, 1, 1, low=self.low, high=self.high)
        shift = draw.uniform(n, 1, 1, 3, low=-self.shift, high=self.shift)
        return rotated(factor * clips.xyz + shift, draw.uniform(n, low=-limit, high=limit))


@dataclass(frozen=True)
class ScaleShearRotateShift(ByChance):
    """Scale about the image's corner, shear along x or y, rotate about the middle, shift.

    The factor is from U(low, high); the shear, of x along y or of y along x, each half of the time,
    from U(-shear, shear); the angle from U(-degrees, degrees); the shift, the same for x, y and z,
    from U(-shift, shift). The middle is (0.5, 0.5), moved by the shear on the axis that is sheared,
    as published. Source: 1st place, anchors.md.
    """

    low: float
    high: float
    shear: float
    degrees: float
    shift: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        n, limit = len(clips.label), math.radians(self.degrees)
        along_x = draw.chance(0.5, n, 1, 1)
        factor = draw.uniform(n, 1, 1, 1, low=self.low, high=self.high)
        shear = draw.uniform(n, 1, 1, low=-self.shear, high=self.shear)
        angle = draw.uniform(n, low=-limit, high=limit)
        shift = draw.uniform(n, 1, 1, 1, low=-self.shift, high=self.shift)

        of_y, of_x = torch.where(along_x, shear, 0.0), torch.where(along_x, 0.0, shear)
        x, y, z = (factor * clips.xyz).unbind(-1)
        sheared = torch.stack([x + of_y * y, y + of_x * x, z], -1)
        middle = torch.stack([0.5 + of_y, 0.5 + of_x, torch.zeros_like(shear)], -1)
        return rotated(sheared - middle, angle) + middle + shift
