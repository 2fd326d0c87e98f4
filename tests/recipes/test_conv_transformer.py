"""The 1st place's recipe: its published values, what it reads, and that it trains and resumes."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from src.clips import Clips
from src.dataset.batches import ClipSet
from src.landmarks import N_LANDMARKS
from src.models.conv_transformer import Config
from src.recipes.conv_transformer import FULL, LAYOUT, MAX_LEN
from src.recipes.ingredients import Awp
from src.training import optim, schedules
from src.training.distributed import Processes
from src.training.fit import Task, fit
from src.training.loop import Loop, Settings
from src.transforms.pipeline import Draw

SIGNS = 3
ONE = Processes(0, 1, torch.device("cpu"))
FP32 = Settings(seed=0, precision="fp32", validations=2)
TINY = replace(
    FULL,
    model=Config(dim=16, kernel=5, convs=1, heads=2, late_drop=0.3, late_from=0.5),
    optimiser=replace(FULL.optimiser, lr=1e-2),
    awp=Awp(delta=0.01, start=0.5),
    epochs=4,
    batch_size=8,
)


def draw(seed: int = 0) -> Draw:
    return Draw(torch.Generator().manual_seed(seed), random.Random(seed))


# --- published values ---------------------------------------------------------------------------


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


# anchors.md, "The highest anchor".
LIPS = numbers("""61 185 40 39 37 267 269 270 409 291 146 91 181 84 17 314 405 321 375 78 191 80 81
    82 13 312 311 310 415 95 88 178 87 14 317 402 318 324 308 0""")
NOSE = numbers("1 2 98 327")
RIGHT_EYE = numbers("33 7 163 144 145 153 154 155 133 246 161 160 159 158 157 173")
LEFT_EYE = numbers("263 249 390 373 374 380 381 382 362 466 388 387 386 385 384 398")
LEFT_LIPS = numbers("84 181 91 146 61 185 40 39 37 87 178 88 95 78 191 80 81 82")
RIGHT_LIPS = numbers("314 405 321 375 291 409 270 269 267 317 402 318 324 308 415 310 311 312")


def test_the_layout_is_the_118_landmarks():
    published = {*LIPS, *NOSE, *RIGHT_EYE, *LEFT_EYE, *range(468, 489), *range(522, 543)}
    assert len(LAYOUT) == len(published) == 118
    assert {k for (k,) in LAYOUT.points} == published


def test_the_flip_exchanges_what_the_authors_table_does():
    """Hands, the sides of the lips, the eyes, and the two wings of the nose; the midline stays."""
    pairs = [*zip(range(468, 489), range(522, 543), strict=True), (98, 327)]
    pairs += [*zip(RIGHT_EYE, LEFT_EYE, strict=True), *zip(LEFT_LIPS, RIGHT_LIPS, strict=True)]
    expected = dict(pairs) | {b: a for a, b in pairs}
    landmarks = [k for (k,) in LAYOUT.points]
    ours = {k: landmarks[j] for k, j in zip(landmarks, LAYOUT.mirror, strict=True)}
    assert ours == {k: expected.get(k, k) for k in landmarks}


def test_what_the_document_says_about_training():
    assert FULL.max_len == FULL.augment.crop.max_len == FULL.clip.truncate.max_len == 384
    assert (FULL.epochs, FULL.batch_size, FULL.optimiser.lr) == (300, 512, 5e-4 * 8)
    assert (FULL.optimiser.sma_threshold, FULL.optimiser.lookahead_steps) == (4, 5)
    assert (FULL.awp.delta, FULL.awp.start * 300, FULL.model.late_from * 300) == (0.2, 15, 15)
    assert (FULL.loss.smoothing, FULL.loss.among, FULL.model.late_drop) == (0.1, "all", 0.8)
    assert FULL.clip_norm == 0 and FULL.mix is None and FULL.ema is None


def test_the_rate_falls_to_a_millionth_and_the_decay_follows_it():
    model = torch.nn.Linear(2, 2)
    optimiser = optim.build(FULL.optimiser, [model])
    for progress, rate in ((0.0, 4e-3), (0.5, 2.0005e-3), (1.0, 1e-6)):
        optim.set_rate(optimiser, FULL.optimiser.lr * schedules.factor(FULL.schedule, progress))
        (group,) = optimiser.param_groups
        assert group["lr"] == pytest.approx(rate, rel=1e-6)
        assert group["weight_decay"] == pytest.approx(0.1 * rate, rel=1e-6)


def test_augmentations_are_the_documents_in_its_order():
    augment = FULL.augment
    named = {field.name: getattr(augment, field.name) for field in fields(augment)}
    assert list(named) == ["resample", "flip", "crop", "affine", "hide_frames", "hide_box"]
    assert [named[k].p for k in named if k != "crop"] == [0.8, 0.5, 0.75, 0.5, 0.5]
    resample, affine = augment.resample, augment.affine
    assert (resample.low, resample.high, resample.linear, resample.cubic) == (0.5, 1.5, 0.33, 0.335)
    assert (affine.low, affine.high, affine.shear) == (0.8, 1.2, 0.15)
    assert (affine.degrees, affine.shift, augment.flip.centre) == (30, 0.1, 0.5)
    assert {(a.low, a.high) for a in (augment.hide_frames, augment.hide_box)} == {(0.2, 0.4)}


# --- what it reads ------------------------------------------------------------------------------


def raw_frames(n_frames: int) -> np.ndarray:
    """All 543 landmarks; in every third frame only the pose, which the recipe does not read."""
    frames = np.random.default_rng(0).uniform(0, 1, (n_frames, N_LANDMARKS, 3)).astype(np.float32)
    frames[::3, [k for (k,) in LAYOUT.points]] = np.nan
    return frames


@pytest.mark.parametrize("n_frames", [3, 30, 576, 900])
def test_reading_drops_unseen_frames_and_keeps_the_first_384_as_they_are(n_frames):
    frames = raw_frames(n_frames)
    read = FULL.read(torch.from_numpy(frames), range(N_LANDMARKS)).numpy()
    kept = [t for t in range(n_frames) if t % 3][:MAX_LEN]
    np.testing.assert_array_equal(read, frames[kept][:, [k for (k,) in LAYOUT.points]])


def test_one_point_of_the_nose_keeps_a_frame():
    frames = raw_frames(9)
    frames[3, 327] = 0.5
    assert len(FULL.read(torch.from_numpy(frames), range(N_LANDMARKS))) == 7


def test_a_clip_without_anything_is_kept_and_is_all_zero():
    frames = torch.full((5, N_LANDMARKS, 3), torch.nan)
    read = FULL.read(frames, range(N_LANDMARKS))
    assert len(read) == 5 and (FULL.features(read[None], None, LAYOUT) == 0).all()


def test_augmented_clips_are_at_most_384_frames_and_their_features_are_numbers():
    xyz = torch.rand(4, 384, len(LAYOUT), 3, generator=torch.Generator().manual_seed(0))
    xyz[1, :, : len(LAYOUT) // 2] = torch.nan
    mask = torch.arange(384) < torch.tensor([384, 300, 17, 1])[:, None]
    longest = 0
    for seed in range(5):
        seen = FULL.augment(Clips(xyz, mask, torch.zeros(4).long()), LAYOUT, draw(seed))
        features = FULL.features(seen.xyz, seen.mask, LAYOUT)
        assert seen.mask.shape == (4, 384) and features.shape == (4, 384, 708)
        assert features.isfinite().all() and (features[~seen.mask] == 0).all()
        longest = max(longest, seen.length.max())
    assert longest == 384


# --- training -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_clips() -> ClipSet:
    """24 clips of 3 signs, in image coordinates; a sign is the speed of the right hand."""
    rng = np.random.default_rng(0)
    length, label = rng.integers(8, 15, 24), np.arange(24) % SIGNS
    pieces = []
    for n, sign in zip(length, label, strict=True):
        clip = rng.uniform(0.45, 0.55, (1, len(LAYOUT), 3)).repeat(n, 0)
        clip[:, LAYOUT.rows("right_hand"), 1] += 0.1 * sign * np.arange(n)[:, None] / 5
        pieces.append(clip.astype(np.float16))
    frames = torch.from_numpy(np.concatenate(pieces))
    return ClipSet(frames, np.cumsum(length) - length, length, label)


def history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


def test_it_learns(tiny_clips, tmp_path):
    longer = replace(TINY, epochs=25)
    fit(Task(longer, tiny_clips, tiny_clips, SIGNS, tmp_path), FP32, ONE)
    # A third would be chance.
    assert history(tmp_path).student_accuracy.iloc[-1] > 0.8


class _Stopped(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_training_equals_an_unbroken_one(tiny_clips, tmp_path, monkeypatch, stop_after):
    """Stopped before and after the perturbation and the late dropout begin, within a Lookahead."""
    whole_epoch = Loop.epoch

    def stopping(self, train, epoch):
        if epoch == stop_after:
            raise _Stopped
        return whole_epoch(self, train, epoch)

    fit(Task(TINY, tiny_clips, tiny_clips, SIGNS, tmp_path / "unbroken"), FP32, ONE)
    with monkeypatch.context() as patched:
        patched.setattr(Loop, "epoch", stopping)
        with pytest.raises(_Stopped):
            fit(Task(TINY, tiny_clips, tiny_clips, SIGNS, tmp_path / "broken"), FP32, ONE)
    fit(Task(TINY, tiny_clips, tiny_clips, SIGNS, tmp_path / "broken"), FP32, ONE)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    pd.testing.assert_frame_equal(history(unbroken), history(broken), check_exact=True)
    expected, found = (torch.load(folder / "student.pt") for folder in (unbroken, broken))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
