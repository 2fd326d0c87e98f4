"""The 1st place's recipe: its rate and decay, what it reads, and that it trains and resumes."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from src.clips import Clips
from src.dataset.batches import ClipSet
from src.landmarks import N_LANDMARKS
from src.models.conv_transformer import Config
from src.recipes.conv_transformer import FULL, LAYOUT, MAX_LEN
from src.recipes.ingredients import Awp
from src.training import optim, schedules
from src.training.fit import Task, fit
from src.transforms.pipeline import Draw
from tests.training.trained import FP32, ONE, assert_same_training, clips_of, history, stopped

SIGNS = 3
TINY = replace(
    FULL,
    model=Config(dim=16, kernel=5, convs=1, heads=2, late_drop=0.3, late_from=0.5),
    optimiser=replace(FULL.optimiser, lr=1e-2),
    awp=Awp(delta=0.01, start=0.5),
    epochs=4,
    batch_size=8,
)


def test_the_rate_falls_to_a_millionth_and_the_decay_follows_it():
    model = torch.nn.Linear(2, 2)
    optimiser = optim.build(FULL.optimiser, [model])
    for progress, rate in ((0.0, 4e-3), (0.5, 2.0005e-3), (1.0, 1e-6)):
        optim.set_rate(optimiser, FULL.optimiser.lr * schedules.factor(FULL.schedule, progress))
        (group,) = optimiser.param_groups
        assert group["lr"] == pytest.approx(rate, rel=1e-6)
        assert group["weight_decay"] == pytest.approx(0.1 * rate, rel=1e-6)


# --- what it reads ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_frames", [3, 30, 494, 900])
def test_reading_drops_unseen_frames_and_keeps_the_first_384_as_they_are(n_frames):
    """In every third frame there is the pose, which is not read; in every ninth a point of the nose
    as well, which keeps the frame.
    """
    frames, points = torch.rand(n_frames, N_LANDMARKS, 3), [k for (k,) in LAYOUT.points]
    frames[::3, points] = torch.nan
    frames[6::9, 327] = 0.5
    kept = [t for t in range(n_frames) if t % 3 or t % 9 == 6]
    assert n_frames != 494 or len(kept) == MAX_LEN
    expected = frames[kept[:MAX_LEN]][:, points]
    read = FULL.read(frames, range(N_LANDMARKS))
    torch.testing.assert_close(read, expected, rtol=0, atol=0, equal_nan=True)


def test_a_clip_without_anything_is_kept_and_is_all_zero():
    frames = torch.full((5, N_LANDMARKS, 3), torch.nan)
    read = FULL.read(frames, range(N_LANDMARKS))
    assert len(read) == 5 and (FULL.features(read[None], None, LAYOUT) == 0).all()


def test_augmented_clips_are_at_most_384_frames_and_their_features_are_numbers():
    xyz = torch.rand(4, 384, len(LAYOUT), 3, generator=torch.Generator().manual_seed(0))
    xyz[1, :, : len(LAYOUT) // 2] = torch.nan
    mask = torch.arange(384) < torch.tensor([384, 300, 17, 1])[:, None]
    clips, longest = Clips(xyz, mask, torch.zeros(4).long()), 0
    for seed in range(5):
        draw = Draw(torch.Generator().manual_seed(seed), random.Random(seed))
        seen = FULL.augment(clips, LAYOUT, draw)
        features = FULL.features(seen.xyz, seen.mask, LAYOUT)
        assert seen.mask.shape == (4, 384) and features.shape == (4, 384, 708)
        assert features.isfinite().all() and (features[~seen.mask] == 0).all()
        longest = max(longest, seen.length.max())
    assert longest == 384


# --- training -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_clips() -> ClipSet:
    """24 clips of 8 to 14 frames."""
    return clips_of(LAYOUT, np.random.default_rng(0).integers(8, 15, 24))


def test_it_learns(tiny_clips, tmp_path):
    longer = replace(TINY, epochs=25)
    fit(Task(longer, tiny_clips, tiny_clips, SIGNS, tmp_path), FP32, ONE)
    # A third would be chance.
    assert history(tmp_path).student_accuracy.iloc[-1] > 0.8


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_training_equals_an_unbroken_one(tiny_clips, tmp_path, stop_after):
    """Stopped before and after the perturbation and the late dropout begin, within a Lookahead."""
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"

    def train(folder):
        fit(Task(TINY, tiny_clips, tiny_clips, SIGNS, folder), FP32, ONE)

    train(unbroken)
    stopped(stop_after, lambda: train(broken))
    train(broken)
    assert_same_training(unbroken, broken)
