"""Augmentations that scale, shift and rotate every point of a clip in one go.

Each clip of a batch draws for itself; one draw holds for all its frames. NaN stays NaN. Letters:
**B** batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.space import rotated, where_chosen
from src.transforms.pipeline import Draw


@dataclass(frozen=True)
class ScaleShiftRotate:
    """Scale all axes alike, shift each by its own amount, then rotate about the origin.

    Source: 2nd place's random_affine.

    Args:
        p: probability per clip.
        low: smallest factor.
        high: largest factor.
        shift: shifts are from U(-shift, shift).
        degrees: angles are from U(-degrees, degrees), in the image plane.
    """

    p: float
    low: float
    high: float
    shift: float
    degrees: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen = draw.chance(self.p, n)
        limit = math.radians(self.degrees)
        factor = draw.uniform(n, 1, 1, 1, low=self.low, high=self.high)
        shift = draw.uniform(n, 1, 1, 3, low=-self.shift, high=self.shift)
        new = rotated(factor * clips.xyz + shift, draw.uniform(n, low=-limit, high=limit))
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))
