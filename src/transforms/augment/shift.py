"""Augmentations that move points of a clip against each other.

Each clip of a batch draws for itself; one draw holds for all its frames. NaN stays NaN. Letters:
**B** batch, **T** frames, **L** points.
"""

from __future__ import annotations

from dataclasses import dataclass

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.space import where_chosen
from src.transforms.pipeline import Draw, index

Groups = tuple[tuple[int, ...], ...]  # of landmarks


@dataclass(frozen=True)
class ShiftGroups:
    """Move each group of points by a vector of its own.

    Args:
        p: probability per clip.
        deviation: of the normal distribution of each coordinate, in units of the landmarks.
        groups: landmarks that move together; a landmark that is in none stays.
    """

    p: float
    deviation: float
    groups: Groups

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen = draw.chance(self.p, n)
        shift = self.deviation * draw.normal(n, len(self.groups), 1, 1, 3)
        new = clips.xyz.clone()
        for number, group in enumerate(self.groups):
            rows = index(tuple(layout.row(landmark) for landmark in group), new.device)
            new[:, :, rows] += shift[:, number]
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))


@dataclass(frozen=True)
class ShiftPoints:
    """Move every point by a vector of its own.

    Args:
        p: probability per clip.
        deviation: of the normal distribution of each coordinate, in units of the landmarks.
    """

    p: float
    deviation: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen = draw.chance(self.p, n)
        shift = self.deviation * draw.normal(n, 1, len(layout), 3)
        return clips.with_(xyz=where_chosen(chosen, clips.xyz + shift, clips.xyz))
