"""The 26th place's recipe: its published values, the authors' variants, what they rejected."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from src.clips import Clips
from src.dataset import clip_file
from src.landmarks import LIP_PAIRS_CROSSED
from src.recipes.config import override
from src.recipes.llama import LAYOUT, MAX_LEN, SINGLE, THREE, LlamaRecipe
from src.transforms.pipeline import Draw
from src.transforms.steps.frames import Subsample

SIGNS = 5


def draw(seed: int = 0) -> Draw:
    return Draw(torch.Generator().manual_seed(seed), random.Random(seed))


def batch() -> Clips:
    generator = torch.Generator().manual_seed(0)
    xyz = torch.randn(6, 30, len(LAYOUT), 3, generator=generator)
    xyz[torch.rand(6, 30, len(LAYOUT), generator=generator) < 0.2] = torch.nan
    mask = torch.arange(30) < torch.tensor([30, 1, 20, 7, 25, 30])[:, None]
    return Clips(xyz, mask, torch.arange(6) % SIGNS)


# --- published values ---------------------------------------------------------------------------


def test_the_layout_is_the_85_landmarks_in_ascending_order():
    """recognition.md 2.1, in full; 26th-place-llama.txt: hands, 26 of the face, 17 of the pose."""
    face = "13 14 33 81 95 133 145 154 157 159 161 163 178 191 263 311 324 362 374 381 384 386 388"
    published = [int(k) for k in f"{face} 390 402 415".split()]
    published += [*range(468, 489), *range(489, 506), *range(522, 543)]
    assert [k for (k,) in LAYOUT.points] == published == sorted(published)


def test_the_head_that_is_centred_is_37_points():
    head = LAYOUT.rows(*SINGLE.clip.centre.parts)
    landmarks = [LAYOUT.points[row][0] for row in head]
    assert len(landmarks) == 37 and set(landmarks[26:]) == set(range(489, 500))


@pytest.mark.parametrize("recipe", [SINGLE, *THREE], ids=lambda r: r.name)
def test_what_the_document_says_about_training(recipe):
    """26th-place-llama.txt; recognition.md 2.3 and 2.5 for what it leaves open."""
    assert recipe.max_len == recipe.model.max_len == recipe.augment.window.max_len == 512
    assert recipe.features.axes == recipe.model.axes == 2
    assert (recipe.model.head_dim, recipe.model.dropout) == (64, 0.1)
    assert recipe.model.classifier_dropout == 0.5
    optimiser = recipe.optimiser
    assert (optimiser.lr, optimiser.betas, optimiser.weight_decay) == (1e-4, (0.9, 0.99), 1e-3)
    assert recipe.schedule.floor * optimiser.lr == pytest.approx(1e-5)
    assert (recipe.batch_size, recipe.epochs, recipe.steps) == (128, 100, 1024)
    assert (recipe.ema.decay, recipe.shipped, recipe.clip_norm) == (0.9999, "ema", 1.0)
    assert (recipe.mix.alpha, recipe.mix.clips, recipe.mix.whole) == (0.5, 2, 0.999)
    assert (recipe.augment.flip.p, recipe.augment.flip.centre) == (0.5, 0.0)


def test_heads_and_layers_are_the_documents():
    assert (SINGLE.model.heads, SINGLE.model.depth) == (6, 5)
    assert {(r.model.heads, r.model.depth) for r in THREE} == {(2, 6)}


def test_the_three_members_differ_by_name_and_seed_alone():
    first = THREE[0]
    assert [r.seed for r in THREE] == [0, 1, 2]
    assert all(replace(r, name=first.name, seed=first.seed) == first for r in THREE)


# --- the authors' code, and what they rejected ---------------------------------------------------

# (what, how to read it, the value here, flags, the value then)
OPTIONS: dict[str, tuple[Callable[[LlamaRecipe], Any], Any, str, Any]] = {
    "code: batch": (lambda r: r.batch_size, 128, "--batch-size 256", 256),
    "code: crossed lip pairs": (
        lambda r: r.augment.flip.pairs, (), "--augment.flip.pairs 95 415 191 324",
        LIP_PAIRS_CROSSED,
    ),
    "speed, linear": (
        lambda r: (r.augment.speed.p, r.augment.speed.linear), (0.0, 1.0),
        "--augment.speed.p .8", (0.8, 1.0),
    ),
    "speed, spline": (
        lambda r: (r.augment.speed.p, r.augment.speed.linear, r.augment.speed.cubic),
        (0.0, 1.0, 0.0),
        "--augment.speed.p .8 --augment.speed.linear 0 --augment.speed.cubic 1",
        (0.8, 0.0, 1.0),
    ),
    "groups shifted": (
        lambda r: r.augment.shift_groups.p, 0.0, "--augment.shift-groups.p 1", 1.0,
    ),
    "single points shifted": (
        lambda r: r.augment.shift_points.p, 0.0, "--augment.shift-points.p 1", 1.0,
    ),
    "rotated about the head": (lambda r: r.augment.rotate.p, 0.0, "--augment.rotate.p 1", 1.0),
    "scaled": (lambda r: r.augment.scale.p, 0.0, "--augment.scale.p 1", 1.0),
    "three clips mixed": (lambda r: r.mix.clips, 2, "--mix.clips 3", 3),
    "aligned mixup": (lambda r: r.mix.align, "no", "--mix.align similarity", "similarity"),
    "next frame": (
        lambda r: r.model.next_frame_share, 0.0, "--model.next-frame-share .125", 0.125,
    ),
    "label smoothing": (lambda r: r.loss.smoothing, 0.0, "--loss.smoothing .1", 0.1),
}  # fmt: skip
AUGMENTATIONS = [name for name, row in OPTIONS.items() if "--augment" in row[2]]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_off_and_a_flag_turns_it_on(name):
    read, usual, flags, then = OPTIONS[name]
    assert read(SINGLE) == usual
    assert read(override(SINGLE, flags)) == then


def test_as_it_is_published_only_mirroring_changes_a_batch():
    clips = batch()
    out = SINGLE.augment(clips, LAYOUT, draw())
    flipped = SINGLE.augment.flip(clips, LAYOUT, draw())
    assert torch.equal(out.xyz.view(torch.int32), flipped.xyz.view(torch.int32))
    assert torch.equal(out.mask, clips.mask)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_rejected_augmentation_changes_a_batch_once_it_is_on(name):
    augment = override(SINGLE, f"{OPTIONS[name][2]} --augment.flip.p 1").augment
    clips = batch()
    out, usual = augment(clips, LAYOUT, draw()), SINGLE.augment.flip(clips, LAYOUT, draw())
    assert out.mask.shape != clips.mask.shape or not torch.equal(
        out.xyz.view(torch.int32), usual.xyz.view(torch.int32)
    )


def test_everything_the_authors_rejected_runs_at_once():
    """All flags together, at toy widths: augmentation, mixup, network, loss, gradient."""
    recipe = override(SINGLE, " ".join(row[2] for row in OPTIONS.values()))
    config = replace(recipe.model, heads=1, depth=2, hidden=8, head_dim=8)
    randomness, clips = draw(), batch()
    out = recipe.augment(clips, LAYOUT, randomness)
    features = recipe.features(out.xyz, out.mask, LAYOUT)
    pairs = recipe.mix.pairs(6, randomness)
    features, mask = recipe.mix.inputs(features, out.mask, pairs, randomness)
    torch.manual_seed(0)
    net = config.build(LAYOUT, SIGNS)
    target = pairs.target(torch.nn.functional.one_hot(clips.label, SIGNS).float())
    loss = recipe.loss(net(features, mask), target, torch.tensor(0.5))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


# --- clips ---------------------------------------------------------------------------------------


def test_the_files_of_the_authors_resize_long_clips_and_ours_can():
    """recognition.md 2.6; in training, tests and file at once."""
    resizing = replace(SINGLE, clip=replace(SINGLE.clip, limit=Subsample(MAX_LEN)))
    rows = torch.rand(700, 543, 3, generator=torch.Generator().manual_seed(0))
    everything = range(543)
    whole, resized = SINGLE.read(rows, everything), resizing.read(rows, everything)
    assert len(whole) == 700
    kept = [i * 700 // 512 for i in range(512)]
    assert torch.equal(resized, whole[kept])


@pytest.mark.reference
def test_genuine_clips_are_read_as_recognition_2_2_says(reference):
    paths = sorted(reference("asl_signs").glob("train_landmark_files/*/*.parquet"))[::9]
    assert paths
    for path in paths:
        frames = clip_file.read_clip(path)
        chosen = frames[:, [k for (k,) in LAYOUT.points]].astype(np.float64)
        head = frames[:, [*LAYOUT.parts["face"], *LAYOUT.parts["pose_head"]]].reshape(-1, 3)
        centre = head[~np.isnan(head).any(1)].mean(0, dtype=np.float64)
        expected = np.nan_to_num(chosen - centre)[..., :2]
        xyz = SINGLE.read(torch.from_numpy(frames), range(frames.shape[1]))
        features = SINGLE.features(xyz[None], None, LAYOUT)[0].numpy()
        np.testing.assert_allclose(features, expected, atol=1e-5, err_msg=str(path))  # float32


@pytest.mark.reference
def test_clips_without_a_face_are_centred_on_the_pose(reference):
    """As in these few-shot clips: of the head only the nose and eyes of the pose are there."""
    path = next(reference("wlasl50").glob("train_landmark_files/*/*.parquet"))
    frames = clip_file.read_clip(path)
    assert np.isnan(frames[:, list(LAYOUT.parts["face"])]).all()
    xyz = SINGLE.read(torch.from_numpy(frames), range(frames.shape[1]))
    head = xyz[:, list(LAYOUT.rows("pose_head"))].flatten(0, 1)
    assert head[~head.isnan().any(1)].mean(0).abs().max() < 1e-5
