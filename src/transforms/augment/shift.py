"""Augmentations that move points of a clip against each other.

Each clip of a batch draws for itself; one draw holds for all its frames. NaN stays NaN. Letters:
**B** batch, **T** frames, **L** points.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import ByChance
from src.transforms.pipeline import Draw, index

Groups = tuple[tuple[int, ...], ...]  # of landmarks


@dataclass(frozen=True)
class ShiftGroups(ByChance):
    """Move each group of points by a vector of its own.

    Args:
        deviation: of the normal distribution of each coordinate, in units of the landmarks.
        groups: landmarks that move together; a landmark in no group stays.
    """

    deviation: float
    groups: Groups

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        shift = self.deviation * draw.normal(len(clips.label), len(self.groups), 1, 1, 3)
        new = clips.xyz.clone()
        for number, group in enumerate(self.groups):
            rows = index(tuple(layout.row(landmark) for landmark in group), new.device)
            new[:, :, rows] += shift[:, number]
        return new


@dataclass(frozen=True)
class ShiftPoints(ByChance):
    """Move every point by a vector of its own.

    Args:
        deviation: of the normal distribution of each coordinate, in units of the landmarks.
    """

    deviation: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        return clips.xyz + self.deviation * draw.normal(len(clips.label), 1, len(layout), 3)
