"""Slovo's recipe: its schedule, the three stages, and what each option does to a training."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from src.common import checkpoint
from src.models.hierarchical import Config
from src.recipes import SOLUTIONS, choose
from src.recipes.config import override
from src.recipes.hierarchical import LAYOUT, PUBLISHED, SAMPLE
from src.recipes.ingredients import OnPlateau
from src.training.fit import Task, fit
from src.training.loop import Loop
from src.training.roles import Trainee
from src.training.schedules import factor
from src.training.train_all import train_all
from tests.recipes.test_options import HIERARCHICAL
from tests.training.trained import FP32, ONE, clips_of, history, run_on, weights

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


@pytest.mark.parametrize("recipe", SOLUTIONS["hierarchical"].full, ids=lambda r: r.name)
def test_five_epochs_of_warm_up_then_cycles_of_twenty(recipe):
    """recognition.md 4.4: 1e-5 to 3e-4, then 3e-4 0.8^cycle down to 1e-5."""
    for epoch in (number + side for number in range(1, 105) for side in (-1e-6, 1e-6)):
        if epoch < 5:
            expected = 1e-5 + (3e-4 - 1e-5) * epoch / 5
        else:
            cycle, within = divmod(epoch - 5, 20)
            peak = 3e-4 * 0.8**cycle
            expected = 1e-5 + (peak - 1e-5) * (1 + math.cos(math.pi * within / 20)) / 2
        for epochs in (recipe.epochs, 105):  # however long the training
            found = 3e-4 * factor(recipe.schedule, epoch / epochs, epochs)
            assert found == pytest.approx(expected, rel=1e-4)
    assert 3e-4 * factor(recipe.schedule, 0.0, 105) == pytest.approx(1e-5)


@pytest.mark.parametrize("profile", ["full", "cpu", "sample"])
def test_three_stages_each_from_the_best_of_the_one_before(profile):
    stages = choose("hierarchical", profile)
    assert [r.name for r in stages] == [f"hierarchical_{k}" for k in (1, 2, 3)]
    assert [r.start for r in stages] == ["", "hierarchical_1", "hierarchical_2"]
    assert {r.shipped for r in stages} == {"best"}
    assert [r.ships for r in stages] == [False, False, True]
    first, second, third = stages
    assert second.optimiser.lr == third.optimiser.lr < first.optimiser.lr
    assert all(r.stop.patience < r.epochs for r in stages if profile == "full")
    changed = {"name", "start", "ships", "epochs", "optimiser"}
    same = {name: getattr(first, name) for name in changed}
    assert replace(second, **same) == replace(third, **same) == first


def test_the_next_stage_starts_from_the_best_weights_and_not_from_the_last(sample, tmp_path):
    """With a rate of 0 a stage stays what it starts as."""
    usual = replace(TINY, stop=PUBLISHED.stop, shipped="best")
    stages = [replace(usual, name=r.name, start=r.start, ships=r.ships) for r in SAMPLE[:2]]
    stages[1] = replace(stages[1], optimiser=replace(TINY.optimiser, lr=0.0), epochs=1)
    run = run_on(sample, stages, tmp_path)
    first, second = (run.training_folder(stage.name, 0) for stage in stages)
    first.mkdir(parents=True)
    best, last = (TINY.model.build(LAYOUT, classes=4).state_dict() for _ in range(2))
    checkpoint.save(first / "best.pt", best)
    checkpoint.save(first / "student.pt", last)
    for name in ("history.csv", "predictions.parquet"):
        (first / name).touch()
    run.training_mark(stages[0].name, 0).write()
    train_all(run, FP32, "cpu")
    torch.testing.assert_close(weights(second), dict(best), rtol=0, atol=0)


TRAIN, VALID, MANY = (
    clips_of(LAYOUT, np.full(n, FRAMES), seed) for seed, n in enumerate((16, 6, 200))
)


def test_of_mixed_clips_as_many_frames_are_masked_as_of_others():
    """The authors mix, then mask 20 %; the other way round the partner fills most gaps."""
    recipe = replace(TINY, batch_size=200, keep_frames=replace(TINY.keep_frames, least=0.0))
    loop = Loop(recipe, Trainee(recipe, SIGNS), FP32, ONE)
    batch = next(loop.batches(MANY, [np.arange(200)], 0))
    views, _, pairs = loop.trainee.views(batch.clips, batch.draw)
    assert pairs is not None
    kept = views["student"].mask.float().mean().item()
    assert abs(kept - 0.8) < 4 * (0.8 * 0.2 / (200 * FRAMES)) ** 0.5  # four standard deviations


def trained(flags: str, folder: Path) -> dict[str, torch.Tensor]:
    """The weights after two epochs of two steps."""
    recipe = override(TINY, flags)
    if isinstance(recipe.schedule, OnPlateau):  # after two epochs nothing has stopped falling
        recipe = replace(recipe, schedule=replace(recipe.schedule, patience=0, threshold=0.9))
    fit(Task(recipe, TRAIN, VALID, SIGNS, folder), FP32, ONE)
    losses = history(folder).filter(regex="_loss$").iloc[-1]
    assert np.isfinite(losses.to_numpy(float)).all()
    return weights(folder)


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> dict[str, torch.Tensor]:
    return trained("", tmp_path_factory.mktemp("usual"))


OF_CLIPS = ("code: short clips are padded", "code: hands are mirrored")  # before training


@pytest.mark.parametrize("flags", ["", *HIERARCHICAL.values()], ids=["none", *HIERARCHICAL])
def test_an_option_trains_and_makes_a_difference(flags, usual, tmp_path):
    """Without any, the same training again is the same to the bit."""
    same_clips = flags in {HIERARCHICAL[name] for name in OF_CLIPS}
    found = trained(flags, tmp_path)
    assert all(value.isfinite().all() for value in found.values())
    common = [key for key in usual if key in found and found[key].shape == usual[key].shape]
    assert len(common) > 50
    same = all(torch.equal(found[key], usual[key]) for key in common)
    assert same == (not flags or same_clips)


def test_the_codes_clip_steps_pad_short_clips_and_mirror_the_hands():
    rows = torch.rand(FRAMES // 2, len(LAYOUT), 3, generator=torch.Generator().manual_seed(0))
    usual = TINY.read(rows, LAYOUT.sources)
    assert len(usual) == FRAMES
    short, mirrored = (
        override(TINY, HIERARCHICAL[name]).read(rows, LAYOUT.sources) for name in OF_CLIPS
    )
    assert len(short) == FRAMES // 2
    assert torch.equal(short, usual[::2])  # each frame was there twice
    hands = list(LAYOUT.rows("left_hand", "right_hand"))
    usual[:, hands, 0] = 1 - usual[:, hands, 0]
    assert torch.equal(mirrored, usual)
