"""Training in stages: from the best weights so far, stopped early, train and test side by side."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from src.evaluation.predict import examine
from src.models.hierarchical import Config
from src.recipes.hierarchical import LAYOUT, PUBLISHED
from src.recipes.ingredients import EarlyStopping, MeanTeacher, OnPlateau
from src.training.fit import Task, fit
from src.training.train import choosing_clips
from tests.training.trained import (
    FP32,
    ONE,
    assert_same_training,
    clips_of,
    history,
    stopped,
    weights,
)

SIGNS, FRAMES = 3, 6
TINY = replace(
    PUBLISHED,
    name="tiny",
    model=Config(
        FRAMES, dim=16, heads=2, local_layers=1, global_layers=1, patch_heads=2, positions=FRAMES,
        widths=(16, 8),
    ),
    max_len=FRAMES,
    optimiser=replace(PUBLISHED.optimiser, lr=3e-3),
    epochs=8,
    batch_size=8,
    stop=EarlyStopping(patience=100),
)  # fmt: skip


TRAIN, VALID, CHOOSING = (
    clips_of(LAYOUT, np.full(n, FRAMES), seed) for seed, n in enumerate((24, 12, 9))
)


def task(recipe, folder: Path, start: dict | None = None) -> Task:
    return Task(recipe, TRAIN, VALID, SIGNS, folder, start=start)


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A finished first stage."""
    folder = tmp_path_factory.mktemp("first")
    fit(task(TINY, folder), FP32, ONE)
    return folder


@pytest.fixture(scope="module")
def start(first) -> dict[str, torch.Tensor]:
    """What the first stage hands on."""
    return weights(first, "best")


def test_it_learns(first):
    last = history(first).iloc[-1]
    assert last.student_accuracy > 0.8  # a third would be chance
    assert last.student_loss < history(first).student_loss[0]


# --- curves -------------------------------------------------------------------------------------


def test_curves_are_of_the_clips_as_they_are(first):
    """Accuracy and loss of the last epoch again, clip by clip, without padding."""
    model = TINY.model.build(TINY.layout, SIGNS)
    model.load_state_dict(weights(first))
    last = history(first).iloc[-1]
    probe = TRAIN.subset(np.linspace(0, len(TRAIN) - 1, len(VALID)).round().astype(int))
    for kind, clip_set in (("test", VALID), ("train", probe)):
        hits, losses = [], []
        for k in range(len(clip_set)):
            batch = clip_set.gather(torch.tensor([k]), FRAMES)
            out = model.eval()(TINY.features(batch.xyz, None, TINY.layout))
            target = F.one_hot(batch.label, SIGNS).float()
            hits.append(bool(out["logits"].argmax() == batch.label))
            losses.append(TINY.loss(out, target, torch.tensor(1.0)).item())
        accuracy = "student_accuracy" if kind == "test" else "student_train_accuracy"
        assert last[accuracy] == pytest.approx(np.mean(hits))
        # The store's frames are float16, the rest float32.
        assert last[f"student_{kind}_loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_an_examination_knows_the_progress_and_leaves_the_mode_and_no_gradient():
    model = TINY.model.build(TINY.layout, SIGNS).train()
    recipe = replace(TINY, loss=replace(TINY.loss, gamma_at_start=0.0))
    losses = [examine(model, recipe, VALID, progress).loss for progress in (0.0, 1.0)]
    plain = examine(model, TINY, VALID, 0.3).loss
    assert losses[1] == pytest.approx(plain) and losses[0] > plain
    assert model.training and all(p.grad is None for p in model.parameters())


def test_every_epoch_is_tested_where_it_decides_something(first, tmp_path):
    assert history(first).student_accuracy.notna().all()
    without = replace(TINY, stop=None, shipped="student", epochs=4)
    fit(task(without, tmp_path), FP32, ONE)
    assert history(tmp_path).student_accuracy.notna().tolist() == [False, True, False, True]


# --- stages -------------------------------------------------------------------------------------


def test_the_best_weights_are_those_of_the_best_epoch(first, start):
    best = TINY.model.build(TINY.layout, SIGNS)
    best.load_state_dict(start)
    accuracy = examine(best, TINY, VALID, 1.0).accuracy
    assert accuracy == pytest.approx(history(first).student_accuracy.max())


def test_what_is_kept_does_not_depend_on_the_clips_that_are_scored(tmp_path):
    """The best epoch is chosen on other clips; here the scored ones have wrong labels, or right."""
    wrong = replace(VALID, label=(VALID.label + 1) % SIGNS)
    kept, tables = [], []
    for number, scored in enumerate((VALID, wrong)):
        folder = tmp_path / str(number)
        fit(Task(TINY, TRAIN, scored, SIGNS, folder, choosing=CHOOSING), FP32, ONE)
        kept.append(weights(folder, "best"))
        tables.append(history(folder))
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])
    assert tables[0].choosing_accuracy.equals(tables[1].choosing_accuracy)
    assert not tables[0].student_accuracy.equals(tables[1].student_accuracy)


def test_a_fit_on_everything_chooses_its_epoch_too(tmp_path):
    recipe = replace(TINY, epochs=2)
    fit(Task(recipe, TRAIN, None, SIGNS, tmp_path, choosing=VALID), FP32, ONE)
    table = history(tmp_path)
    assert table.choosing_accuracy.notna().all() and "student_accuracy" not in table
    best = TINY.model.build(TINY.layout, SIGNS)
    best.load_state_dict(weights(tmp_path, "best"))
    assert examine(best, TINY, VALID, 1.0).accuracy == table.choosing_accuracy.max()


SIGNERS = pd.DataFrame({"participant": ["a"] * 50 + ["b"] * 9 + ["c"] * 40 + ["d"] * 20})


@pytest.mark.parametrize(
    ("held_out", "expected"),
    [
        ("d", list(range(50, 59))),
        ("b", list(range(99, 119))),
        ("acd", list(range(50, 59, 10))),
        ("bd", [*range(0, 50, 10), *range(59, 99, 10)]),
    ],
    ids=["a signer with about a tenth", "the nearest to it", "one signer", "two large ones"],
)
def test_the_epoch_is_chosen_on_one_signer_who_is_neither_learnt_from_nor_scored(
    held_out, expected
):
    mask = SIGNERS.participant.isin(list(held_out)).to_numpy()
    assert np.flatnonzero(choosing_clips(TINY, SIGNERS, mask)).tolist() == expected
    assert not choosing_clips(replace(TINY, stop=None), SIGNERS, mask).any()


def test_a_stage_that_only_loses_ends_with_what_it_started_from(first, start, tmp_path):
    """The best weights so far, over all stages."""
    harmful = replace(TINY, name="worse", optimiser=replace(TINY.optimiser, lr=3.0), epochs=3)
    fit(task(harmful, tmp_path, start), FP32, ONE)
    assert history(tmp_path).student_accuracy.max() < history(first).student_accuracy.max()
    best, worst = (weights(tmp_path, role) for role in ("best", "student"))
    torch.testing.assert_close(best, start, rtol=0, atol=0)
    assert not torch.equal(worst["layers.0.qkv.weight"], start["layers.0.qkv.weight"])


def test_it_starts_from_the_weights_of_the_one_before_and_stops_after_its_patience(
    first, start, tmp_path
):
    """With a rate of 0 nothing gets better than the start, which was tested before."""
    still = replace(TINY, optimiser=replace(TINY.optimiser, lr=0.0), stop=EarlyStopping(3))
    fit(task(still, tmp_path, start), FP32, ONE)
    end = weights(tmp_path)
    assert all(torch.equal(end[name], value) for name, value in start.items())
    assert history(tmp_path).student_accuracy[0] == history(first).student_accuracy.max()
    assert len(history(tmp_path)) == 3
    fit(task(still, tmp_path / "scratch"), FP32, ONE)
    assert len(history(tmp_path / "scratch")) == 4  # the first test was a better one


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_stage_goes_on_to_the_same_end(start, tmp_path, stop_after):
    """Weights, plateau and patience; the start is not tested for a second time."""
    recipe = replace(
        TINY, epochs=6, stop=EarlyStopping(4), schedule=OnPlateau(factor=0.5, patience=0)
    )
    fit(task(recipe, tmp_path / "unbroken", start), FP32, ONE)
    stopped(stop_after, lambda: fit(task(recipe, tmp_path / "broken", start), FP32, ONE))
    fit(task(recipe, tmp_path / "broken", start), FP32, ONE)
    assert_same_training(tmp_path / "unbroken", tmp_path / "broken")


def test_the_plateau_lowers_the_rate(tmp_path):
    still = replace(
        TINY,
        optimiser=replace(TINY.optimiser, lr=1e-9),  # too small to change the loss by a share
        schedule=OnPlateau(factor=0.5, patience=1, threshold=0.01, floor=0.2),
        epochs=9,
    )
    fit(task(still, tmp_path), FP32, ONE)
    # The second test in a row without a better loss lowers it for the epochs after.
    expected = [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2]
    np.testing.assert_allclose(history(tmp_path).rate / 1e-9, expected, rtol=1e-6)


def test_without_held_out_clips_it_trains_to_the_end(start, tmp_path):
    recipe = replace(TINY, epochs=2, stop=EarlyStopping(1))
    fit(Task(recipe, TRAIN, None, SIGNS, tmp_path, start=start), FP32, ONE)
    table = history(tmp_path)
    assert len(table) == 2 and "student_accuracy" not in table
    best, student = (weights(tmp_path, role) for role in ("best", "student"))
    assert all(torch.equal(best[name], student[name]) for name in best)


# --- what a model learns before its first step --------------------------------------------------


def test_every_model_learns_the_statistics_of_the_training_clips_alone(tmp_path):
    recipe = replace(TINY, mean_teacher=MeanTeacher(), epochs=1)
    networks = fit(task(recipe, tmp_path), FP32, ONE).networks
    expected = TRAIN.frames[..., :2].double().numpy()
    assert set(networks) == {"student", "teacher", "best"}
    for model in networks.values():
        statistics = model.encoder.normalise
        np.testing.assert_allclose(statistics.mean, np.nanmean(expected, 0), rtol=1e-5)
        np.testing.assert_allclose(statistics.std, np.nanstd(expected, 0), rtol=1e-4)
