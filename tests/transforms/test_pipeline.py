"""Pipelines run in the order they are written; draws have their distributions; export follows."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from src.landmarks import Layout
from src.recipes import conv_transformer, hand_bert
from src.transforms.augment.parts import FaceCutMix
from src.transforms.augment.sometimes import Sometimes
from src.transforms.augment.space import Rotate, Scale
from src.transforms.features.coordinates import Coordinates
from src.transforms.features.hand_bert import HandBertFeatures
from src.transforms.features.motions import PositionsAndMotions
from src.transforms.pipeline import AugmentationPipeline, ClipPipeline
from src.transforms.steps.frames import KeepFramesWith, Stride, select
from src.transforms.steps.normalise import Standardise
from tests.exports import exported

MAX_LEN = 25
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32, the same operations in another grouping


@dataclass(frozen=True)
class Clip(ClipPipeline):
    hands: KeepFramesWith | None = KeepFramesWith(("left_hand", "right_hand"))
    stride: Stride = Stride(MAX_LEN)
    normalise: Standardise = Standardise()


@dataclass(frozen=True)
class Augment(AugmentationPipeline):
    rotate: Rotate | None = Rotate(1.0, 60.0)
    resize: Scale | None = Scale(1.0, 0.7, 1.3)
    face: FaceCutMix | Sometimes | None = None


def raw_clip(n_frames: int, layout: Layout, seed: int = 0) -> Tensor:
    """(T, sources, 3) image units; hands are lost now and then, in one frame all of it is."""
    rng = np.random.default_rng((seed, n_frames))
    rows = rng.uniform(0, 1, (n_frames, len(layout.sources), 3)).astype(np.float32)
    column = {landmark: k for k, landmark in enumerate(layout.sources)}
    for part in layout.parts:
        columns = [column[k] for i in layout.rows(part) for k in layout.points[i]]
        rows[np.ix_(rng.random(n_frames) < 0.5, columns)] = np.nan
    return torch.from_numpy(rows)


def test_clip_steps_run_in_the_order_of_the_fields(layout):
    xyz = torch.rand(60, len(layout), 3, generator=torch.Generator().manual_seed(0))
    clip = Clip()
    by_hand = clip.normalise(clip.stride(clip.hands(xyz, layout), layout), layout)
    assert torch.equal(clip(xyz, layout), by_hand)
    assert not torch.equal(clip(xyz, layout), clip.stride(clip.normalise(xyz, layout), layout))


def test_a_field_that_is_none_is_left_out(layout):
    xyz = torch.full((60, len(layout), 3), torch.nan)
    xyz[::2] = 0.5
    assert list(Clip(hands=None)) == [Stride(MAX_LEN), Standardise()]
    assert len(Clip(hands=None)(xyz, layout)) == 20 and len(Clip()(xyz, layout)) == 15


def test_augmentations_run_in_the_order_of_the_fields(clips, layout, draw):
    by_hand, randomness = clips, draw(5)
    for augmentation in (Augment().rotate, Augment().resize):
        by_hand = augmentation(by_hand, layout, randomness)
    ours = Augment()(clips, layout, draw(5))
    assert torch.equal(ours.xyz.nan_to_num(), by_hand.xyz.nan_to_num())


def test_needs_donor_only_with_an_augmentation_that_takes_one():
    assert not Augment().needs_donor
    with_donor = Augment(face=FaceCutMix(0.5, ("lips",)))
    assert with_donor.needs_donor
    assert Augment(face=Sometimes(0.5, with_donor)).needs_donor
    assert not Augment(face=Sometimes(0.5, Augment())).needs_donor


def test_missing_points_become_zero_and_nothing_else_changes(clips, layout):
    features, missing = Coordinates()(clips.xyz, clips.mask, layout), clips.xyz.isnan()
    assert (features[missing] == 0).all()
    assert torch.equal(features[~missing], clips.xyz[~missing])


def test_integers_are_uniform_below_their_limit(draw):
    below = torch.tensor([1, 2, 7, 0, -3]).repeat(6000, 1)
    drawn = draw().integers(below)
    assert (drawn[:, [0, 3, 4]] == 0).all()
    for column, limit in ((1, 2), (2, 7)):
        counts = np.bincount(drawn[:, column].numpy(), minlength=limit)
        assert len(counts) == limit and stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(
    ("features", "parts"),
    [
        (Coordinates(), None),
        (PositionsAndMotions(), conv_transformer.LAYOUT),
        (HandBertFeatures(), hand_bert.LAYOUT),
    ],
    ids=["coordinates", "positions and motions", "hand and lips"],
)
def test_exported_clip_steps_and_features_agree_at_every_length(layout, features, parts):
    """From the rows of a clip to features, as a submission's graph begins."""
    parts = parts or layout
    column = {landmark: n for n, landmark in enumerate(parts.sources)}
    points = [[column[landmark] for landmark in point] for point in parts.points]

    def function(rows: Tensor) -> Tensor:
        return features(Clip()(select(rows, points), parts)[None], None, parts)

    program = exported(function, raw_clip(60, parts), axis=0)
    for n_frames in (*range(2, 101, 7), 24, 25, 26, 27, 50, 51, 537):
        rows = raw_clip(n_frames, parts)
        torch.testing.assert_close(program(rows), function(rows), **CLOSE)
    torch.testing.assert_close(program(rows[:1]), function(rows[:1]), **CLOSE)
    nothing = torch.full_like(rows, torch.nan)
    assert function(nothing).isfinite().all()
    torch.testing.assert_close(program(nothing), function(nothing), **CLOSE)
