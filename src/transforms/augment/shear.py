"""1st place's affine map of image coordinates.

Each clip of a batch draws for itself; one draw holds for all its frames. NaN stays NaN. Letters:
**B** batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.space import rotated, where_chosen
from src.transforms.pipeline import Draw


@dataclass(frozen=True)
class ScaleShearRotateShift:
    """Scale about the image's corner, shear along x or y, rotate about the middle, shift.

    The middle is (0.5, 0.5), moved by the shear on the axis that is sheared, as published. The
    factor and the shift are the same for x, y and z. Source: 1st place, anchors.md.

    Args:
        p: probability per clip.
        low: smallest factor.
        high: largest factor.
        shear: of x along y or of y along x, either as likely, from U(-shear, shear).
        degrees: angles are from U(-degrees, degrees), in the image plane.
        shift: from U(-shift, shift), in image units.
    """

    p: float
    low: float
    high: float
    shear: float
    degrees: float
    shift: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen, along_x = draw.chance(self.p, n), draw.chance(0.5, n, 1, 1)
        factor = draw.uniform(n, 1, 1, 1, low=self.low, high=self.high)
        shear = draw.uniform(n, 1, 1, low=-self.shear, high=self.shear)
        limit = math.radians(self.degrees)
        angle = draw.uniform(n, low=-limit, high=limit)
        shift = draw.uniform(n, 1, 1, 1, low=-self.shift, high=self.shift)

        of_y, of_x = torch.where(along_x, shear, 0.0), torch.where(along_x, 0.0, shear)
        x, y, z = (factor * clips.xyz).unbind(-1)
        sheared = torch.stack([x + of_y * y, y + of_x * x, z], -1)
        middle = torch.stack([0.5 + of_y, 0.5 + of_x, torch.zeros_like(shear)], -1)
        new = rotated(sheared - middle, angle) + middle + shift
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))
