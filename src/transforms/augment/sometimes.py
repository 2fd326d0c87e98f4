"""A group of augmentations that a clip goes through together, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.space import where_chosen
from src.transforms.pipeline import AugmentationPipeline, Draw

Group = TypeVar("Group", bound=AugmentationPipeline)


@dataclass(frozen=True)
class Sometimes(Generic[Group]):
    """Choose clips, and apply a group of augmentations, each with its own probability, to those.

    The group must keep the number of frames that the batch is padded to.

    Args:
        p: probability per clip.
        group: what the chosen clips go through.
    """

    p: float
    group: Group

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        chosen = draw.chance(self.p, len(clips.label))
        new = self.group(clips, layout, draw)
        return clips.with_(
            xyz=where_chosen(chosen, new.xyz, clips.xyz),
            mask=torch.where(chosen[:, None], new.mask, clips.mask),
        )
