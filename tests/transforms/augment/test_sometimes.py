"""A group of augmentations: all of it, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from src.transforms.augment.pace import TimeWarp
from src.transforms.augment.sometimes import Sometimes
from src.transforms.augment.space import Flip
from src.transforms.pipeline import AugmentationPipeline
from tests.transforms.conftest import bits

WARP = TimeWarp(1.0, low=2.0, high=2.0, min_frames=10, keep=5)


@dataclass(frozen=True)
class Group(AugmentationPipeline):
    flip: Flip | None
    warp: TimeWarp | None


def test_a_clip_goes_through_all_of_the_group_or_none_of_it(clips, layout, draw):
    group = Group(Flip(1.0), WARP)
    whole = WARP(Flip(1.0)(clips, layout, draw()), layout, draw())
    seen = set()
    for seed in range(10):
        out = Sometimes(0.5, group)(clips, layout, draw(seed))
        for k in range(len(clips.label)):
            outcomes = [
                torch.equal(out.mask[k], other.mask[k])
                and torch.equal(bits(out.xyz[k, out.mask[k]]), bits(other.xyz[k, out.mask[k]]))
                for other in (clips, whole)
            ]
            assert any(outcomes)
            seen.add(tuple(outcomes))
    assert {(True, False), (False, True)} <= seen


def test_probabilities_are_multiplied(clips, layout, draw):
    flipped = 0
    for seed in range(800):
        out = Sometimes(0.5, Group(Flip(0.3), None))(clips, layout, draw(seed))
        flipped += int(not torch.equal(bits(out.xyz[0]), bits(clips.xyz[0])))
    # Binomial of 800 and 0.15: 120, deviation 10; four of them.
    assert abs(flipped - 120) < 40
