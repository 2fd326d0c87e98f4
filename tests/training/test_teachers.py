"""A training that learns from another: the 2nd place's three stages, in one run and in order."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from src.common.errors import InputError
from src.dataset.batches import plan, prepare
from src.dataset.store import Store
from src.evaluation.ensemble import Vote
from src.evaluation.predict import predict
from src.losses import CrossEntropy
from src.recipes import hand_bert
from src.recipes.base import Recipe
from src.recipes.ingredients import Distil, Ranger
from src.runs import Run
from src.training import teachers
from src.training.loop import Loop
from src.training.roles import Trainee, View
from src.training.teachers import CachedTeacher, Ensemble, LiveTeacher
from src.training.train import train
from src.training.train_all import train_all
from tests.tiny import RECIPE
from tests.training.trained import (
    CONV_TRANSFORMER,
    FP32,
    ONE,
    assert_same_training,
    run_of,
    run_on,
    stopped,
    weights,
)

FOLD = 0
TINY = replace(RECIPE, name="hand_bert", model=replace(RECIPE.model, layers=3))
STAGES = hand_bert.stages(TINY)
NAMES = FIRST, SECOND, THIRD = tuple(recipe.name for recipe in STAGES)
MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def unbroken(sample, tmp_path_factory) -> Run:
    """The three stages, trained without an interruption; nobody may write there."""
    run = run_on(sample, STAGES, tmp_path_factory.mktemp("unbroken"))
    train_all(run, FP32, "cpu")
    return run


@pytest.fixture
def make_run(unbroken, tmp_path) -> MakeRun:
    """Makes a run of recipes that takes over the named ones as the unbroken run trained them."""

    def make(*recipes: Recipe, trained: tuple[str, ...] = ()) -> Run:
        run = run_of(recipes, unbroken.store, tmp_path / "run")
        for name in trained:
            source, target = (each.training_folder(name, FOLD) for each in (unbroken, run))
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(".lock"))
        return run

    return make


def folder(run: Run, name: str) -> Path:
    return run.training_folder(name, FOLD)


def with_other_folds(run: Run) -> Run:
    path = run.folder / "folds.csv"
    table = pd.read_csv(path)
    table.assign(fold=(table.fold + 1) % table.fold.nunique()).to_csv(path, index=False)
    return Run.open(run.folder)


# --- the stages ---------------------------------------------------------------------------------


@pytest.fixture
def epochs(monkeypatch) -> list[tuple[str, int]]:
    """The epochs that are trained from now on."""
    whole_epoch, trained = Loop.epoch, []

    def noted(self, train, epoch):
        trained.append((self.recipe.name, epoch))
        return whole_epoch(self, train, epoch)

    monkeypatch.setattr(Loop, "epoch", noted)
    return trained


def test_stages_resume_to_the_same_end(unbroken, make_run, epochs):
    """Stopped in the second epoch of the second stage, and again in the third stage's first."""
    run = make_run(*STAGES)
    stopped(1, lambda: train_all(run, FP32, "cpu"), SECOND)
    assert epochs == [*((FIRST, epoch) for epoch in range(3)), (SECOND, 0)]
    stopped(0, lambda: train_all(run, FP32, "cpu"), THIRD)
    train_all(run, FP32, "cpu")
    assert epochs == [(name, epoch) for name in NAMES for epoch in range(3)]
    for name in NAMES:
        assert_same_training(folder(run, name), folder(unbroken, name))


def test_finished_stages_are_not_trained_again(unbroken, epochs, capsys):
    def files() -> dict[Path, int]:
        paths = [p for p in unbroken.folder.rglob("*") if p.is_file() and p.name != ".lock"]
        return {p: p.stat().st_mtime_ns for p in paths}

    before = files()
    assert train_all(unbroken, FP32, "cpu") == [folder(unbroken, name) for name in NAMES]
    assert files() == before and not epochs
    assert f"{folder(unbroken, SECOND)}: already trained" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["student.pt", "history.csv", "predictions.parquet"])
def test_a_training_of_which_a_file_was_deleted_is_trained_again(unbroken, make_run, epochs, name):
    """As the message about a damaged file says: delete it and train again."""
    run = make_run(STAGES[0], trained=(FIRST,))
    (folder(run, FIRST) / name).unlink()
    train_all(run, FP32, "cpu")
    assert [epoch for _, epoch in epochs] == [0, 1, 2]
    assert_same_training(folder(run, FIRST), folder(unbroken, FIRST))
    assert len(run.predictions(FIRST))


def test_a_stopped_training_does_not_go_on_with_replaced_clips(make_run, monkeypatch):
    """Of the same lengths and labels, as clips are whose coordinates were corrected."""
    run = make_run(STAGES[0])
    stopped(2, lambda: train_all(run, FP32, "cpu"))
    monkeypatch.setattr(Store, "clip_files", "another digest")
    with pytest.raises(InputError, match=r"last\.pt: expected the state .* found .*clip files"):
        train_all(run, FP32, "cpu")


def test_a_changed_stage_and_those_after_it_are_trained_again_when_somebody_says_so(
    unbroken, make_run, epochs
):
    run = make_run(STAGES[0], replace(STAGES[1], epochs=1), STAGES[2], trained=NAMES)
    # Nothing of other values is shown or replaced without a word.
    changed = r"fold0: expected .* with others: (teacher\.)?recipe\.epochs 3 -> 1"
    for asked in (
        lambda: train_all(run, FP32, "cpu"),
        lambda: run.predictions(SECOND),
        lambda: run.model(SECOND, FOLD),
        lambda: run.predictions(THIRD),
    ):
        with pytest.raises(InputError, match=changed):
            asked()
    assert epochs == [] and len(run.predictions(FIRST))
    assert_same_training(folder(run, SECOND), folder(unbroken, SECOND))
    train_all(run, FP32, "cpu", retrain=True)
    assert epochs == [(SECOND, 0), *((THIRD, epoch) for epoch in range(3))]
    old, new = (weights(folder(each, THIRD))["classifier.weight"] for each in (unbroken, run))
    assert not torch.equal(old, new)
    assert run.predictions(THIRD).role.unique().tolist() == ["student"]


def test_a_training_is_not_deleted_for_one_without_its_teacher(unbroken, make_run):
    recipe = replace(STAGES[1], distil=Distil("hand_bort"))
    run = make_run(STAGES[0], recipe, trained=(FIRST, SECOND))
    with pytest.raises(InputError, match="no recipe 'hand_bort'"):
        train_all(run, FP32, "cpu", retrain=True)
    assert_same_training(folder(unbroken, SECOND), folder(run, SECOND))


def test_predictions_are_those_of_the_kept_weights(unbroken):
    """Whether they were made by the last test, or after the training."""
    recipe = unbroken.recipe(FIRST)
    clips = prepare(unbroken.store, recipe.read, recipe.key)
    held_out = np.flatnonzero(unbroken.clips.fold == FOLD)
    expected = predict(unbroken.model(FIRST, FOLD, "student"), recipe, clips.subset(held_out))
    table = unbroken.predictions(FIRST)
    assert list(table.sequence) == list(unbroken.clips.sequence[held_out])
    np.testing.assert_array_equal(np.stack(table.logits), expected)


def test_the_third_stage_starts_as_the_first_layers_of_the_second(make_run):
    """With a learning rate of 0 it stays what it starts as."""
    resting = replace(STAGES[2], optimiser=Ranger(lr=0.0), epochs=1)
    run = make_run(*STAGES[:2], resting, trained=(FIRST, SECOND))
    train(run, THIRD, FOLD, FP32, ONE)
    started, second = (weights(folder(run, name)) for name in (THIRD, SECOND))
    assert [key for key in second if key not in started and "layers.2" not in key] == []
    assert len(started) < len(second)
    for key, value in started.items():
        assert torch.equal(value, second[key]), key


def seen(run: Run, recipe: Recipe, trainee: Trainee) -> tuple:
    """The views, targets and pairs of a batch of 8 clips, and their numbers."""
    clips = prepare(run.store, recipe.read, recipe.key)
    loop = Loop(recipe, trainee, FP32, ONE)
    batch = next(loop.batches(clips, list(plan(clips.length, 8, np.random.default_rng(0))), 0))
    return *trainee.views(batch.clips, batch.draw), batch.index


def test_a_stage_asks_the_stage_before_about_what_it_sees_itself(unbroken):
    guide = teachers.find(unbroken, STAGES[1], FOLD, np.arange(len(unbroken.store)), ONE.device)
    assert isinstance(guide, LiveTeacher) and not guide.model.training
    views, _, pairs, index = seen(unbroken, STAGES[1], Trainee(STAGES[1], 4))
    view = views["student"]
    with torch.no_grad():
        logits = unbroken.model(FIRST, FOLD)(view.features, view.mask)["logits"]
    expected = (logits / 2.0).softmax(-1)  # the recipe's temperature
    torch.testing.assert_close(guide(view, pairs, index), expected)


def test_the_loss_is_the_recipes_own_and_the_divergence_from_the_teacher(unbroken):
    """T^2 KL(teacher / T || student / T) beside the cross entropy, times its weight."""
    torch.manual_seed(0)
    temperature, weight = 3.0, 0.7
    distil = Distil(teacher=FIRST, weight=weight, temperature=temperature)
    recipe = replace(STAGES[1], distil=distil, loss=CrossEntropy())
    trainee = Trainee(recipe, 4).eval()
    views, target, *_ = seen(unbroken, recipe, trainee)
    teacher = torch.randn(8, 4).div(temperature).softmax(-1)
    own = trainee(views, target, torch.tensor(0.0))["student"]
    both = trainee(views, target, torch.tensor(0.0), teacher)["student"]

    view = views["student"]
    logits = trainee.models["student"](view.features, view.mask)["logits"]
    student = softmax(logits.detach().double().numpy() / temperature, axis=1)
    p = teacher.double().numpy()
    expected = weight * temperature**2 * (p * np.log(p / student)).sum(1).mean()
    assert (both - own).item() == pytest.approx(expected, rel=1e-4)


# --- what can be wrong --------------------------------------------------------------------------

LONELY = replace(STAGES[2], distil=Distil())
# Not one tensor fits: a training from scratch would be something else than was asked for.
WIDER = replace(STAGES[2], model=hand_bert.Config(layers=2, width=12, inner=12, heads=2))


@pytest.mark.parametrize(
    ("recipes", "trained", "message"),
    [
        (STAGES[:2], (), f"{FIRST}.fold0.*{SECOND} learns from it.*train it first"),
        (STAGES[1:2], (), f"distil.teacher: no recipe '{FIRST}'.*has {SECOND}"),
        ((STAGES[1], LONELY), (), f"{SECOND}.fold0.*{THIRD} starts from it.*train it first"),
        ((*STAGES[:2], WIDER), NAMES[:2], f"{SECOND}.*{THIRD} starts from it.*by name and"),
    ],
    ids=["no teacher yet", "no teacher in the run", "no start yet", "a start of other sizes"],
)
def test_a_stage_without_what_it_needs_is_one_clear_error(make_run, recipes, trained, message):
    run, name = make_run(*recipes, trained=trained), recipes[-1].name
    with pytest.raises(InputError, match=message):
        train(run, name, FOLD, FP32, ONE)
    assert not [p for p in folder(run, name).rglob("*") if p.is_file()]


def test_a_teacher_of_other_folds_does_not_count(make_run):
    """It may have learnt the clips that are held out here."""
    run = with_other_folds(make_run(*STAGES, trained=(FIRST,)))
    with pytest.raises(InputError, match=f"expected a finished training of {FIRST}"):
        train(run, SECOND, FOLD, FP32, ONE)


# --- teachers of other runs and recipes ---------------------------------------------------------


@pytest.mark.parametrize("field", ["teacher", "start"])
def test_a_training_of_another_run_that_has_learnt_what_is_held_out_here_is_refused(
    unbroken, make_run, field
):
    path = str(unbroken.folder / FIRST)
    other = {"teacher": {"distil": Distil(teacher=path)}, "start": {"start": path}}[field]
    recipe = replace(STAGES[1], **({"distil": Distil()} | other))
    run = with_other_folds(make_run(recipe))
    with pytest.raises(InputError, match=r"not learnt clips of .*; hold the same"):
        train(run, SECOND, FOLD, FP32, ONE)


def test_a_teacher_that_reads_otherwise_is_asked_once_about_the_clips_as_they_are(
    unbroken, make_run
):
    other = replace(STAGES[1].features, lip_angles="meant")
    recipe = replace(STAGES[1], features=other, distil=Distil(teacher=str(unbroken.folder / FIRST)))
    run = make_run(recipe)
    index = np.array([3, 0, 7])
    guide = teachers.find(run, recipe, FOLD, index, ONE.device)
    assert isinstance(guide, CachedTeacher)
    clips = prepare(run.store, STAGES[0].read, STAGES[0].key)
    model = unbroken.model(FIRST, FOLD)
    for k, clip in enumerate(index):
        alone = clips.gather(torch.tensor([clip]), int(clips.length[clip]))
        features = STAGES[0].features(alone.xyz, alone.mask, STAGES[0].layout)
        with torch.no_grad():
            expected = (model(features, alone.mask)["logits"][0] / 2.0).softmax(-1)
        torch.testing.assert_close(guide.probabilities[k], expected, rtol=1e-4, atol=1e-6)
    found = guide(View(features, alone.mask, None), None, torch.tensor([2, 0]))
    assert torch.equal(found, guide.probabilities[[2, 0]])


# --- several teachers ---------------------------------------------------------------------------


def test_several_teachers_answer_with_the_mean_of_their_probabilities(unbroken):
    recipe = replace(STAGES[2], distil=Distil(teacher=f"{FIRST}, {SECOND}"))
    guide = teachers.find(unbroken, recipe, FOLD, np.arange(len(unbroken.store)), ONE.device)
    assert isinstance(guide, Ensemble) and len(guide.teachers) == 2
    views, _, pairs, index = seen(unbroken, recipe, Trainee(recipe, 4))
    each = [teacher(views["student"], pairs, index) for teacher in guide.teachers]
    assert not torch.equal(*each)
    torch.testing.assert_close(guide(views["student"], pairs, index), (each[0] + each[1]) / 2)
    weighted = Ensemble(guide.teachers, [1.0, 3.0])(views["student"], pairs, index)
    torch.testing.assert_close(weighted, each[0] / 4 + 3 * each[1] / 4)


def test_the_networks_that_a_run_ships_teach_with_their_votes(unbroken, make_run, monkeypatch):
    """Those that only teach others do not; temperatures multiply."""
    votes = {THIRD: Vote(0.25, temperature=3.0)}
    asked = []
    monkeypatch.setattr(teachers, "votes_for", lambda tables, *_: asked.append([*tables]) or votes)
    recipe = replace(LONELY, name="pupil", distil=Distil(teacher=str(unbroken.folder)))
    run = make_run(recipe)
    guide = teachers.find(run, recipe, FOLD, np.arange(len(run.store)), ONE.device)
    assert isinstance(guide, LiveTeacher)
    assert asked == [[THIRD]] and guide.temperature == 6.0
    expected = weights(folder(unbroken, THIRD))
    torch.testing.assert_close(dict(guide.model.state_dict()), expected, rtol=0, atol=0)


def test_a_training_is_stale_when_one_of_its_teachers_is(make_run):
    """The mark holds what every teacher was made from."""
    pupil = replace(LONELY, name="pupil", distil=Distil(teacher=f"{FIRST},{SECOND}"))
    before = make_run(*STAGES, pupil).training_mark("pupil", FOLD).made_from
    for changed in STAGES[:2]:
        other = replace(changed, epochs=changed.epochs + 1)
        recipes = [other if recipe is changed else recipe for recipe in STAGES]
        after = make_run(*recipes, pupil).training_mark("pupil", FOLD).made_from
        assert before["teacher"] != after["teacher"] and before["recipe"] == after["recipe"]


@pytest.mark.parametrize("another_run", [False, True])
@pytest.mark.parametrize("field", ["teacher", "start"])
def test_a_training_is_stale_when_what_it_learnt_from_was_trained_again(
    unbroken, make_run, field, another_run, tmp_path
):
    """As after a change of the code: every value is the old one, the weights are others."""
    run = make_run(*STAGES, trained=NAMES)
    teachers_run = Run.open(shutil.copytree(run.folder, tmp_path / "other")) if another_run else run
    name = str(teachers_run.folder / FIRST) if another_run else FIRST
    values = {"teacher": {"distil": Distil(teacher=name)}, "start": {"start": name}}[field]
    run = make_run(*STAGES, replace(LONELY, **{"name": "pupil", "start": ""} | values))
    train(run, "pupil", FOLD, FP32, ONE)
    assert run.is_trained("pupil", FOLD)

    shutil.rmtree(folder(teachers_run, FIRST))
    assert run.is_trained("pupil", FOLD)  # a teacher may stay on another machine
    train(teachers_run, FIRST, FOLD, FP32, ONE)
    assert run.is_trained("pupil", FOLD)  # the very weights again
    shutil.rmtree(folder(teachers_run, FIRST))
    train(teachers_run, FIRST, FOLD, replace(FP32, seed=1), ONE)  # weights of other bits
    changed = f"weights of.{re.escape(name)} changed"
    with pytest.raises(InputError, match=f"one with others: {changed}; run 02_training again"):
        run.model("pupil", FOLD)
    with pytest.raises(InputError, match=f"{changed}; choose another RUN_DIR, or say RETRAIN=True"):
        train(run, "pupil", FOLD, FP32, ONE)


# --- across solutions ---------------------------------------------------------------------------

EXPERT = replace(CONV_TRANSFORMER, epochs=2)
PUPIL = replace(RECIPE, optimiser=Ranger(lr=1e-2), epochs=12)


def divergence(run: Run, name: str) -> float:
    """KL(expert || pupil), in nats, mean over the clips that both learn from."""
    learnt = np.flatnonzero(run.clips.fold.to_numpy() != FOLD)
    logits = {}
    for recipe in (EXPERT, run.recipe(name)):
        clips = prepare(run.store, recipe.read, recipe.key).subset(learnt)
        logits[recipe.name] = predict(run.model(recipe.name, FOLD), recipe, clips)
    expert, pupil = (softmax(x, axis=1) for x in (logits[EXPERT.name], logits[name]))
    return float((expert * np.log(expert / pupil)).sum(1).mean())


def test_a_solution_learns_from_another_ones_answers(sample, tmp_path):
    """The expert has hardly learnt the signs, so that to agree with it is not to be right."""
    distil = Distil(teacher=EXPERT.name, weight=10.0, temperature=1.0)
    alone, taught = replace(PUPIL, name="alone"), replace(PUPIL, name="taught", distil=distil)
    run = run_on(sample, (EXPERT, alone, taught), tmp_path)
    train_all(run, FP32, "cpu")
    assert divergence(run, "taught") < divergence(run, "alone") / 2
