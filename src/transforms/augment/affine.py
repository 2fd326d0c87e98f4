"""Augmentations that scale, shift, rotate and shear every point of a clip in one go.

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
from src.transforms.augment.space import rotated
from src.transforms.pipeline import Draw


@dataclass(frozen=True)
class ScaleShiftRotate(ByChance):
    """Scale all axes alike, shift each by its own amount, then rotate about the origin.

    Source: 2nd place's random_affine.

    Args:
        low: smallest factor.
        high: largest factor.
        shift: shifts are from U(-shift, shift).
        degrees: angles are from U(-degrees, degrees), in the image plane.
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

    The middle is (0.5, 0.5), moved by the shear on the axis that is sheared, as published. The
    factor and the shift are the same for x, y and z. Source: 1st place, anchors.md.

    Args:
        low: smallest factor.
        high: largest factor.
        shear: of x along y or of y along x, each half of the time, from U(-shear, shear).
        degrees: angles are from U(-degrees, degrees), in the image plane.
        shift: from U(-shift, shift), in image units.
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
