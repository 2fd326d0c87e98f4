"""The last step before a model: only here a missing landmark becomes a number."""

import torch

from src.transforms.features.coordinates import Coordinates


def test_missing_points_become_zero_and_nothing_else_changes(clips, layout):
    features = Coordinates()(clips.xyz, clips.mask, layout)
    missing = clips.xyz.isnan()
    assert (features[missing] == 0).all()
    assert torch.equal(features[~missing], clips.xyz[~missing])
    assert missing.any() and not missing.all()


def test_the_mask_is_not_needed_for_one_clip(clips, layout):
    alone = Coordinates()(clips.xyz[:1], None, layout)
    assert torch.equal(alone, Coordinates()(clips.xyz, clips.mask, layout)[:1])
