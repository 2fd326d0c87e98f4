"""Augmentations that change some clips and leave the others alone: clips are chosen by chance.

Letters: **B** batch, **T** frames, **L** points.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.pipeline import AugmentationPipeline, Draw


def where_chosen(
    chosen: Bool[Tensor, " B"], new: Float[Tensor, "B T L 3"], old: Float[Tensor, "B T L 3"]
) -> Float[Tensor, "B T L 3"]:
    """Take the chosen clips from `new`, the others from `old`."""
    return torch.where(chosen[:, None, None, None], new, old)


@dataclass(frozen=True)
class ByChance:
    """Base of augmentations that change points alone, in clips chosen with probability `p`."""

    p: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        chosen = draw.chance(self.p, len(clips.label))
        new = self.changed(clips, layout, draw)
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        """The points of all clips as they would be if every clip were chosen; NaN = missing."""
        raise NotImplementedError


Group = TypeVar("Group", bound=AugmentationPipeline)


@dataclass(frozen=True)
class Sometimes(Generic[Group]):
    """Apply a group of augmentations, each with its own probability, to clips chosen with `p`.

    The group must keep the number of frames that the batch is padded to.
    """

    p: float
    group: Group

    @property
    def needs_donor(self) -> bool:
        """True if an augmentation of the group needs a donor."""
        return self.group.needs_donor

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        chosen = draw.chance(self.p, len(clips.label))
        new = self.group(clips, layout, draw)
        return clips.with_(
            xyz=where_chosen(chosen, new.xyz, clips.xyz),
            mask=torch.where(chosen[:, None], new.mask, clips.mask),
        )
