"""Slovo's recipe: its published values, the authors' variants, the wish list, the three stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from src.common import checkpoint
from src.dataset import store as stores
from src.dataset.batches import ClipSet, prepare
from src.models.hierarchical import Config
from src.recipes import SOLUTIONS, choose
from src.recipes.config import override
from src.recipes.hierarchical import CPU, LAYOUT, PUBLISHED, SAMPLE, SHIPPED, HierarchicalRecipe
from src.recipes.ingredients import EarlyStopping, MeanTeacher, OnPlateau
from src.runs import About, Run
from src.training.distributed import Processes
from src.training.fit import Task, fit
from src.training.loop import Settings
from src.training.schedules import factor
from src.training.train import train_all
from src.transforms.steps.normalise import MirrorHands

ONE = Processes(0, 1, torch.device("cpu"))
FP32 = Settings(seed=0, precision="fp32", validations=1)
FULL = SOLUTIONS["hierarchical"].full
SIGNS, FRAMES = 3, 10
TINY = replace(
    PUBLISHED,
    name="tiny",
    clip=replace(PUBLISHED.clip, length=replace(PUBLISHED.clip.length, n_frames=FRAMES)),
    model=Config(
        FRAMES, dim=16, heads=2, local_layers=1, global_layers=1, dropout=0.0, patch_heads=2,
        positions=FRAMES, widths=(16, 8), local_window=2,
    ),
    max_len=FRAMES,
    epochs=2,
    batch_size=8,
    stop=None,
    shipped="student",
)  # fmt: skip


# --- published values ---------------------------------------------------------------------------


def test_the_layout_is_the_published_87_points_and_their_mirror_images():
    """recognition.md 4.1, in full."""
    lips = "61 185 40 39 37 0 267 269 270 409 291 146 91 181 84 17 314 405 321 375 78 191 80 81 82"
    lips = [
        int(k) for k in f"{lips} 13 312 311 310 415 95 88 178 87 14 317 402 318 324 308".split()
    ]
    read = {part: list(points) for part, points in LAYOUT.parts.items() if part != "other_forearm"}
    published = [*range(468, 489), *range(522, 543), 502, 504, 506, 508, 510]
    assert read.pop("lips") == lips and len(lips) == 40
    assert [k for points in read.values() for k in points] == published
    assert list(LAYOUT.parts["other_forearm"]) == [503, 505, 507, 509, 511]


def test_what_is_published_of_clips_and_network():
    """slovo-hierarchical.txt; recognition.md 4.2 and 4.3."""
    clip, model = PUBLISHED.clip, PUBLISHED.model
    assert clip.hands.parts == ("left_hand", "right_hand")
    assert clip.length.n_frames == PUBLISHED.max_len == model.max_len == 128
    assert (clip.mirror_hands, clip.standardise, PUBLISHED.features.axes) == (None, None, 2)
    assert (model.dim, model.heads, model.dropout) == (512, 8, 0.1)
    assert (model.local_layers, model.global_layers) == (4, 4)
    assert (model.patch, model.patch_heads, model.positions) == (4, 4, 1000)
    assert (model.scales, model.widths) == ((1, 2, 4, 8), (256, 128))


def test_what_is_published_of_training():
    """recognition.md 4.4; 4.5 for epochs and batches."""
    assert PUBLISHED.batch_size == 32 and PUBLISHED.mix.alpha == 0.2
    loss = PUBLISHED.loss
    assert (loss.smoothing, loss.gamma) == (0.1, 2.0)
    assert [loss.auxiliary * loss.auxiliary_decay**k for k in (2, 1, 0)] == [0.05, 0.1, 0.2]
    published = PUBLISHED.augment.published
    warp, noise, scale = published.group
    assert published.p == 0.5
    assert (warp.p, warp.low, warp.high, warp.min_frames, warp.keep) == (0.3, 0.8, 1.2, 11, 5)
    assert (noise.p, noise.sigma) == (0.2, 0.01)
    assert (scale.p, scale.low, scale.high) == (0.3, 0.9, 1.1)
    keep = PUBLISHED.augment.keep_frames
    assert (keep.p, keep.keep, keep.least) == (1.0, 0.8, 0.2)


@pytest.mark.parametrize("recipe", FULL, ids=lambda r: r.name)
def test_five_epochs_of_warm_up_then_cycles_of_twenty(recipe):
    """recognition.md 4.4: 1e-5 to 3e-4, then 3e-4 0.8^cycle down to 1e-5."""
    epochs = recipe.epochs

    def share(epoch: float) -> float:
        return factor(recipe.schedule, epoch / epochs)

    assert share(0) == pytest.approx(1 / 30) and share(5) == pytest.approx(1)
    assert [share(5 + 20 * k + 1e-6) for k in range(4)] == pytest.approx(
        [0.8**k for k in range(4)], abs=1e-4
    )
    assert share(25 - 1e-6) == pytest.approx(1 / 30, abs=1e-4)


# --- stages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["full", "cpu", "sample"])
def test_three_stages_each_from_the_best_of_the_one_before(profile):
    stages = choose("hierarchical", profile)
    assert stages == {"full": FULL, "cpu": CPU, "sample": SAMPLE}[profile]
    assert [r.name for r in stages] == [f"hierarchical_{k}" for k in (1, 2, 3)]
    assert [r.start for r in stages] == ["", "hierarchical_1", "hierarchical_2"]
    assert {r.shipped for r in stages} == {"best"}
    assert [r.ships for r in stages] == [False, False, True]
    first, second, third = stages
    assert second.optimiser.lr == third.optimiser.lr < first.optimiser.lr
    assert all(r.stop.patience < r.epochs for r in stages if profile == "full")
    changed = {"name", "start", "ships", "epochs", "schedule", "optimiser"}
    same = {name: getattr(first, name) for name in changed}
    assert replace(second, **same) == replace(third, **same) == first


def test_epochs_and_the_size_that_ships():
    """slovo-hierarchical.txt, 500 signs."""
    assert [r.epochs for r in FULL] == [169, 123, 228]
    assert {r.model for r in FULL} == {SHIPPED.model}
    assert SHIPPED.model == replace(PUBLISHED.model, dim=384, max_len=64)
    assert SHIPPED.clip.length.n_frames == SHIPPED.max_len == 64


@pytest.fixture(scope="module")
def store(sample, tmp_path_factory) -> stores.Store:
    return stores.build(sample, tmp_path_factory.mktemp("stores"), LAYOUT.sources, workers=1)


@pytest.fixture(scope="module")
def staged(store, tmp_path_factory) -> Run:
    """Three finished stages as one command trains them; nobody may write there."""
    usual = replace(TINY, stop=EarlyStopping(3), shipped="best")
    recipes = tuple(replace(usual, name=r.name, start=r.start, ships=r.ships) for r in SAMPLE)
    names = tuple(recipe.name for recipe in recipes)
    about = About("sample", "the sample", str(store.folder), 0, (), names, (0,))
    run = Run.create(tmp_path_factory.mktemp("staged") / "run", about, recipes)
    train_all(run, FP32, "cpu")
    return run


def state(run: Run, name: str, role: str = "best") -> dict[str, torch.Tensor]:
    return checkpoint.load(run.training_folder(name, 0) / f"{role}.pt")


def test_every_stage_is_trained_and_the_third_alone_is_a_member(staged):
    assert all(staged.training_mark(recipe.name, 0).is_finished for recipe in SAMPLE)
    assert [r.name for r in staged.recipes.values() if r.ships] == ["hierarchical_3"]


def test_the_checkpoint_holds_the_statistics_of_the_training_clips_alone(staged, store):
    """recognition.md 4.2: per landmark coordinate, of what was detected in the training set."""
    recipe = staged.recipe("hierarchical_1")
    clips = prepare(store, recipe.read, recipe.key)
    trained_on = clips.subset(np.flatnonzero(staged.clips.fold != 0))
    everyone = torch.cat(list(clips.real_frames()))[..., :2].double().numpy()
    frames = torch.cat(list(trained_on.real_frames()))[..., :2].double().numpy()
    for name in ("hierarchical_1", "hierarchical_2", "hierarchical_3"):
        kept = state(staged, name)
        mean, std = (kept[f"encoder.normalise.{key}"] for key in ("mean", "std"))
        np.testing.assert_allclose(mean, np.nanmean(frames, 0), rtol=1e-4)
        np.testing.assert_allclose(std, np.nanstd(frames, 0), rtol=1e-3)
    assert np.abs(np.nanmean(everyone, 0) - np.nanmean(frames, 0)).max() > 1e-3


def test_the_model_of_a_run_normalises_by_what_its_checkpoint_holds(staged):
    """What is exported is what was trained."""
    model, kept = staged.model("hierarchical_3", 0), state(staged, "hierarchical_3")
    normalise = model.encoder.normalise
    point = kept["encoder.normalise.mean"] + kept["encoder.normalise.std"]
    torch.testing.assert_close(normalise(point[None, None]), torch.ones_like(point)[None, None])


def test_the_next_stage_starts_from_the_best_weights_and_not_from_the_last(staged, store, tmp_path):
    """With a rate of 0 a stage stays what it starts as."""
    best, last = (state(staged, "hierarchical_1", role) for role in ("best", "student"))
    stages = [staged.recipe(recipe.name) for recipe in SAMPLE[:2]]
    stages[1] = replace(stages[1], optimiser=replace(TINY.optimiser, lr=0.0), epochs=1)
    about = replace(staged.about, recipes=tuple(r.name for r in stages))
    run = Run.create(tmp_path / "run", about, stages)
    folder = run.training_folder("hierarchical_1", 0)
    folder.mkdir(parents=True)
    # A best that is surely not the last: every matrix of it is twice as large.
    marked = {key: 2 * value if value.dim() > 1 else value for key, value in best.items()}
    checkpoint.save(folder / "best.pt", marked)
    checkpoint.save(folder / "student.pt", last)
    run.training_mark("hierarchical_1", 0).write()
    train_all(run, FP32, "cpu")
    for key, value in state(run, "hierarchical_2", "student").items():
        assert torch.equal(value, marked[key]), key


# --- options ------------------------------------------------------------------------------------

Read = Callable[[HierarchicalRecipe], Any]
_WISHES = "augment.improvements.group"


def _wish(name: str) -> Read:
    return lambda r: getattr(r.augment.improvements.group, name).p


# What the authors' code does: (how to read it, the document's value, the flags of it, its value).
CODE: dict[str, tuple[Read, Any, str, Any]] = {
    "short clips are padded": (
        lambda r: r.clip.length.keep_short, False, "--clip.length.keep-short", True,
    ),
    "hands are mirrored": (
        lambda r: r.clip.mirror_hands, None, "clip.mirror-hands:mirror-hands", MirrorHands(),
    ),
    "pieces are averaged": (
        lambda r: r.model.averaged_bins, False, "--model.averaged-bins", True,
    ),
    "random query": (lambda r: r.model.random_query, False, "--model.random-query", True),
    "local blocks see all": (
        lambda r: r.model.local_window is None, False, "--model.local-window None", True,
    ),
}  # fmt: skip
# slovo-hierarchical.txt, "what can be improved", in its order.
WISHES: dict[str, tuple[Read, Any, str, Any]] = {
    **{
        wish: (_wish(field), 0.0, f"--{_WISHES}.{field.replace('_', '-')}.p 1", 1.0)
        for wish, field in {
            "coordinate dropout": "hide_points",
            "local distortion": "bend",
            "mirror": "mirror",
            "temporal crop": "piece",
            "non-linear speed": "uneven_speed",
            "3-D rotation": "turn",
            "camera angle": "camera",
            "detector-like noise": "detector",
        }.items()
    },
    "warm restarts": (
        lambda r: type(r.schedule).__name__, "WarmupCycles",
        "schedule:warm-restarts --schedule.first 0.2", "WarmRestarts",
    ),
    "OneCycle with per-layer rates": (
        lambda r: (type(r.schedule).__name__, r.optimiser.layer_decay), ("WarmupCycles", 1.0),
        "schedule:one-cycle --schedule.warmup .3 --schedule.start .04 --schedule.end 4e-6 "
        "--optimiser.layer-decay .8",
        ("OneCycle", 0.8),
    ),
    "ReduceLROnPlateau": (
        lambda r: type(r.schedule).__name__, "WarmupCycles",
        "schedule:on-plateau --schedule.factor .5 --schedule.patience 5", "OnPlateau",
    ),
    "stochastic depth": (
        lambda r: r.model.stochastic_depth, 0.0, "--model.stochastic-depth .9", 0.9,
    ),
    "LayerDrop": (lambda r: r.model.layer_drop, 0.0, "--model.layer-drop .9", 0.9),
    "stronger weight decay": (
        lambda r: r.optimiser.weight_decay, 0.01, "--optimiser.weight-decay 1", 1.0,
    ),
    "curriculum focal": (
        lambda r: r.loss.gamma_at_start, None, "--loss.gamma-at-start 0", 0.0,
    ),
    "pairwise margin": (lambda r: r.loss.margin_weight, 0.0, "--loss.margin-weight .5", 0.5),
    "self-distillation": (
        lambda r: r.mean_teacher, None,
        "mean-teacher:mean-teacher --mean-teacher.ramp 0.1", MeanTeacher(ramp=0.1),
    ),
    "local window": (lambda r: r.model.local_window, 8, "--model.local-window 1", 1),
    "sparse attention": (
        lambda r: r.model.sparse_stride, None, "--model.sparse-stride 3", 3,
    ),
    "cross-modal consistency": (
        lambda r: r.loss.cross_modal, 0.0, "--loss.cross-modal .5", 0.5,
    ),
}  # fmt: skip
OPTIONS = CODE | WISHES
OF_CLIPS = {"short clips are padded", "hands are mirrored"}  # they act before training


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_off_and_a_flag_turns_it_on(name):
    read, usual, flags, then = OPTIONS[name]
    for recipe in (PUBLISHED, *FULL, *CPU, *SAMPLE):
        assert read(recipe) == usual
    assert read(override(PUBLISHED, flags)) == then


def clips(n: int, seed: int) -> ClipSet:
    """Clips of 3 signs in image coordinates, as the clip steps leave them."""
    rng = np.random.default_rng(seed)
    length, label = np.full(n, FRAMES), np.arange(n) % SIGNS
    frames = rng.uniform(0.2, 0.8, (n * FRAMES, len(LAYOUT), 3)).astype(np.float16)
    frames[rng.random(len(frames)) < 0.1] = np.nan
    return ClipSet(torch.from_numpy(frames), np.cumsum(length) - length, length, label)


TRAIN, VALID = clips(16, 0), clips(6, 1)


def trained(recipe: HierarchicalRecipe, folder: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """Weights and history of two epochs of two steps."""
    networks = fit(Task(recipe, TRAIN, VALID, SIGNS, folder), FP32, ONE).networks
    return networks["student"].state_dict(), pd.read_csv(folder / "history.csv")


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> dict[str, torch.Tensor]:
    return trained(TINY, tmp_path_factory.mktemp("usual"))[0]


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in OF_CLIPS])
def test_every_option_trains_and_makes_a_difference(name, usual, tmp_path):
    recipe = override(TINY, OPTIONS[name][2])
    if isinstance(recipe.schedule, OnPlateau):  # after two epochs nothing has stopped falling
        recipe = replace(recipe, schedule=replace(recipe.schedule, patience=0, threshold=0.9))
    weights, history = trained(recipe, tmp_path)
    losses = history[[column for column in history if column.endswith("_loss")]]
    assert np.isfinite(losses.iloc[-1].to_numpy(float)).all()
    assert all(value.isfinite().all() for value in weights.values())
    common = [key for key in usual if key in weights and weights[key].shape == usual[key].shape]
    assert len(common) > 50
    assert any(not torch.equal(weights[key], usual[key]) for key in common)


def test_nothing_is_on_that_the_same_flags_do_not_turn_on(usual, tmp_path):
    """The oracle of the test above: the same training again is the same to the bit."""
    weights, _ = trained(override(TINY, "--optimiser.weight-decay 0.01"), tmp_path)
    assert all(torch.equal(weights[key], value) for key, value in usual.items())


def test_the_codes_clip_steps_pad_short_clips_and_mirror_the_hands():
    rows = torch.rand(FRAMES // 2, len(LAYOUT), 3, generator=torch.Generator().manual_seed(0))
    usual = TINY.read(rows, LAYOUT.sources)
    assert len(usual) == FRAMES
    short = override(TINY, CODE["short clips are padded"][2]).read(rows, LAYOUT.sources)
    assert len(short) == FRAMES // 2 and torch.equal(
        short, usual[::2]
    )  # each frame was there twice
    mirrored = override(TINY, CODE["hands are mirrored"][2]).read(rows, LAYOUT.sources)
    hands = list(LAYOUT.rows("left_hand", "right_hand"))
    rest = [row for row in range(len(LAYOUT)) if row not in hands]
    assert torch.equal(mirrored[:, rest], usual[:, rest])
    torch.testing.assert_close(mirrored[:, hands, 0], 1 - usual[:, hands, 0])
    assert torch.equal(mirrored[:, hands, 1:], usual[:, hands, 1:])
