"""A training that learns from another: the 2nd place's three stages, in one run and in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from src.common import checkpoint
from src.common.errors import InputError
from src.dataset import store as stores
from src.dataset.batches import plan, prepare
from src.evaluation.predict import predict
from src.evaluation.tables import softmax
from src.losses import CrossEntropy
from src.recipes import conv_transformer, frame_deberta, hand_bert
from src.recipes.base import Recipe
from src.recipes.ingredients import Distil, Ranger
from src.runs import About, Run
from src.training import teachers
from src.training.distributed import Processes
from src.training.guide import CachedTeacher, LiveTeacher
from src.training.loop import Loop, Settings
from src.training.roles import Trainee
from src.training.train import train, train_all

ONE = Processes(0, 1, torch.device("cpu"))
SETTINGS = Settings(seed=0, precision="fp32", validations=1)
FOLD = 0
TINY = replace(
    hand_bert.BERT,
    model=hand_bert.Config(layers=3, width=8, inner=8, heads=2),
    epochs=3,
    batch_size=8,
)
STAGES = hand_bert.stages(TINY)
FIRST, SECOND, THIRD = (recipe.name for recipe in STAGES)
MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def store(sample, tmp_path_factory) -> stores.Store:
    return stores.build(
        sample, tmp_path_factory.mktemp("stores"), hand_bert.LAYOUT.sources, workers=1
    )


@pytest.fixture
def make_run(store, tmp_path) -> MakeRun:
    """A function that makes a run of recipes, on the sample or another store."""

    def make(*recipes: Recipe, name: str = "run", store: stores.Store = store) -> Run:
        about = About(
            profile="sample",
            data="the sample",
            store=str(store.folder),
            seed=0,
            hold_out=(),
            recipes=tuple(recipe.name for recipe in recipes),
            folds=(FOLD,),
        )
        return Run.create(tmp_path / name, about, recipes)

    return make


@pytest.fixture(scope="module")
def unbroken(store, tmp_path_factory) -> Run:
    """The three stages, trained without an interruption; nobody may write there."""
    about = About("sample", "the sample", str(store.folder), 0, (), (FIRST, SECOND, THIRD), (FOLD,))
    run = Run.create(tmp_path_factory.mktemp("unbroken") / "run", about, STAGES)
    train_all(run, SETTINGS, "cpu")
    return run


def history(run: Run, name: str) -> pd.DataFrame:
    return pd.read_csv(run.training_folder(name, FOLD) / "history.csv").drop(columns="seconds")


def weights(run: Run, name: str) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.training_folder(name, FOLD) / "student.pt")


def assert_same_training(one: Run, other: Run, name: str) -> None:
    pd.testing.assert_frame_equal(history(one, name), history(other, name), check_exact=True)
    for key, value in weights(one, name).items():
        assert torch.equal(value, weights(other, name)[key]), (name, key)


class _Stopped(Exception):
    pass


# --- the stages ---------------------------------------------------------------------------------


def test_stages_resume_to_the_same_end(unbroken, make_run, monkeypatch):
    """Stopped in the second epoch of the second stage, and again in the third stage's first."""
    run, whole_epoch, epochs = make_run(*STAGES), Loop.epoch, []
    stops = {(SECOND, 1), (THIRD, 0)}

    def counted(self, train, epoch):
        at = (self.recipe.name, epoch)
        epochs.append(at)
        if at in stops:
            stops.remove(at)
            raise _Stopped
        return whole_epoch(self, train, epoch)

    monkeypatch.setattr(Loop, "epoch", counted)
    for _ in range(2):
        with pytest.raises(_Stopped):
            train_all(run, SETTINGS, "cpu")
    train_all(run, SETTINGS, "cpu")
    assert epochs == [
        *((FIRST, epoch) for epoch in range(3)),
        (SECOND, 0),
        (SECOND, 1),  # stopped
        (SECOND, 1),
        (SECOND, 2),
        (THIRD, 0),  # stopped
        *((THIRD, epoch) for epoch in range(3)),
    ]
    for name in (FIRST, SECOND, THIRD):
        assert_same_training(run, unbroken, name)


def test_finished_stages_are_not_trained_again(unbroken, monkeypatch):
    def forbidden(self, train, epoch):
        raise AssertionError("trained again")

    def files() -> dict[Path, int]:
        paths = [p for p in unbroken.folder.rglob("*") if p.is_file() and p.name != ".lock"]
        return {p: p.stat().st_mtime_ns for p in paths}

    before = files()
    monkeypatch.setattr(Loop, "epoch", forbidden)
    folders = train_all(unbroken, SETTINGS, "cpu")
    assert folders == [unbroken.training_folder(name, FOLD) for name in (FIRST, SECOND, THIRD)]
    assert files() == before


def test_a_changed_stage_and_those_after_it_are_trained_again_when_somebody_says_so(
    unbroken, make_run, monkeypatch
):
    whole_epoch, trained = Loop.epoch, []

    def noted(self, train, epoch):
        trained.append((self.recipe.name, epoch))
        return whole_epoch(self, train, epoch)

    monkeypatch.setattr(Loop, "epoch", noted)
    run = make_run(STAGES[0], replace(STAGES[1], epochs=1), STAGES[2])
    for name in (FIRST, SECOND, THIRD):
        _copy(unbroken, run, name)
    # Nothing of other values is shown or replaced without a word.
    changed = r"fold0: expected .* of others: (teacher\.)?recipe\.epochs 3 -> 1"
    for asked in (
        lambda: train_all(run, SETTINGS, "cpu"),
        lambda: run.predictions(SECOND),
        lambda: run.model(SECOND, FOLD),
        lambda: run.predictions(THIRD),
    ):
        with pytest.raises(InputError, match=changed):
            asked()
    assert trained == [] and len(run.predictions(FIRST))
    assert torch.equal(
        weights(run, SECOND)["classifier.weight"], weights(unbroken, SECOND)["classifier.weight"]
    )
    train_all(run, SETTINGS, "cpu", retrain=True)
    assert trained == [(SECOND, 0), *((THIRD, epoch) for epoch in range(3))]
    assert not torch.equal(
        weights(run, THIRD)["classifier.weight"], weights(unbroken, THIRD)["classifier.weight"]
    )
    assert run.predictions(THIRD).role.unique().tolist() == ["student"]


def test_predictions_are_those_of_the_kept_weights(unbroken):
    """Whether they were made by the last test, or after the training."""
    recipe = unbroken.recipe(FIRST)
    clips = prepare(unbroken.store, recipe.read, recipe.key)
    held_out = np.flatnonzero(unbroken.clips.fold == FOLD)
    expected = predict(unbroken.model(FIRST, FOLD, "student"), recipe, clips.subset(held_out))
    table = unbroken.predictions(FIRST)
    assert list(table.sequence) == list(unbroken.clips.sequence[held_out])
    np.testing.assert_array_equal(np.stack(table.logits), expected)


def test_a_broken_off_training_does_not_go_on_with_other_folds(make_run, monkeypatch):
    """Clips that it has learnt from could be held out now."""
    run, whole_epoch = make_run(STAGES[0]), Loop.epoch

    def stopping(self, train, epoch):
        if epoch == 1:
            raise _Stopped
        return whole_epoch(self, train, epoch)

    with monkeypatch.context() as patched, pytest.raises(_Stopped):
        patched.setattr(Loop, "epoch", stopping)
        train(run, FIRST, FOLD, SETTINGS, ONE)
    table = pd.read_csv(run.folder / "folds.csv")
    moved = (table.fold + 1) % table.fold.nunique()
    table.assign(fold=moved).to_csv(run.folder / "folds.csv", index=False)
    last = run.training_folder(FIRST, FOLD) / "last.pt"
    with pytest.raises(InputError, match=f"{last}: .* other values: clips changed"):
        train(Run.open(run.folder), FIRST, FOLD, SETTINGS, ONE)
    last.unlink()  # as the message says
    train(Run.open(run.folder), FIRST, FOLD, SETTINGS, ONE)
    assert len(history(run, FIRST)) == 3


def test_the_third_stage_starts_as_the_first_layers_of_the_second(unbroken, make_run):
    """With a learning rate of 0 it stays what it starts as."""
    resting = replace(STAGES[2], optimiser=Ranger(lr=0.0), epochs=1)
    run = make_run(*STAGES[:2], resting)
    for name in (FIRST, SECOND):
        _copy(unbroken, run, name)
    train(run, THIRD, FOLD, SETTINGS, ONE)
    started, second = weights(run, THIRD), weights(run, SECOND)
    assert [key for key in second if key not in started and "layers.2" not in key] == []
    assert len(started) < len(second)
    for key, value in started.items():
        assert torch.equal(value, second[key]), key


def _copy(source: Run, target: Run, name: str) -> None:
    """Take over a finished training."""
    folder = target.training_folder(name, FOLD)
    folder.mkdir(parents=True)
    for path in source.training_folder(name, FOLD).iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())


def test_a_stage_asks_the_stage_before_about_what_it_sees_itself(unbroken):
    run, recipe = unbroken, STAGES[1]
    clips = prepare(run.store, recipe.read, recipe.key)
    guide = teachers.find(run, recipe, FOLD, np.arange(len(clips)), ONE.device)
    assert isinstance(guide, LiveTeacher) and not guide.model.training
    loop = Loop(recipe, Trainee(recipe, 4), SETTINGS, ONE)
    batch = next(loop.batches(clips, list(plan(clips.length, 8, np.random.default_rng(0))), 0))
    views, _, pairs = loop.trainee.views(batch.clips, batch.draw)
    view = views["student"]
    with torch.no_grad():
        logits = run.model(FIRST, FOLD)(view.features, view.mask)["logits"]
    expected = (logits / 2.0).softmax(-1)  # the recipe's temperature
    torch.testing.assert_close(guide(view, pairs, batch.index), expected)


def test_the_loss_is_the_recipes_own_and_the_divergence_from_the_teacher(unbroken):
    """T^2 KL(teacher / T || student / T) beside the cross entropy, times its weight."""
    torch.manual_seed(0)
    temperature, weight = 3.0, 0.7
    distil = Distil(teacher=FIRST, weight=weight, temperature=temperature)
    recipe = replace(STAGES[1], distil=distil, loss=CrossEntropy())
    clips = prepare(unbroken.store, recipe.read, recipe.key)
    loop = Loop(recipe, Trainee(recipe, 4).eval(), SETTINGS, ONE)
    batch = next(loop.batches(clips, list(plan(clips.length, 8, np.random.default_rng(0))), 0))
    views, target, _ = loop.trainee.views(batch.clips, batch.draw)
    teacher = torch.randn(8, 4).div(temperature).softmax(-1)
    own = loop.trainee(views, target, torch.tensor(0.0))["student"]
    both = loop.trainee(views, target, torch.tensor(0.0), teacher)["student"]

    view = views["student"]
    logits = loop.trainee.models["student"](view.features, view.mask)["logits"]
    scaled = logits.detach().double().numpy() / temperature
    student = np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)
    p = teacher.double().numpy()
    divergence = (p * np.log(p / student)).sum(1).mean()
    expected = weight * temperature**2 * divergence
    assert (both - own).item() == pytest.approx(expected, rel=1e-4)


# --- what can be wrong --------------------------------------------------------------------------


def test_a_stage_before_its_teacher_is_one_clear_error(make_run):
    run = make_run(*STAGES)
    with pytest.raises(InputError, match=f"{FIRST}.fold0.*{SECOND} learns from it.*train it first"):
        train(run, SECOND, FOLD, SETTINGS, ONE)
    assert not [p for p in run.training_folder(SECOND, FOLD).rglob("*") if p.is_file()]


def test_a_stage_alone_names_the_teacher_that_is_not_in_the_run(make_run):
    run = make_run(STAGES[1])
    with pytest.raises(InputError, match=f"distil.teacher: no recipe '{FIRST}'.*has {SECOND}"):
        train(run, SECOND, FOLD, SETTINGS, ONE)


def test_a_teacher_of_other_folds_does_not_count(unbroken, make_run):
    """It may have learnt the clips that are held out here."""
    run = make_run(*STAGES)
    _copy(unbroken, run, FIRST)
    table = pd.read_csv(run.folder / "folds.csv")
    table.assign(fold=(table.fold + 1) % table.fold.nunique()).to_csv(
        run.folder / "folds.csv", index=False
    )
    with pytest.raises(InputError, match=f"expected a finished training of {FIRST}"):
        train(run, SECOND, FOLD, SETTINGS, ONE)


def test_a_start_that_is_not_there_is_one_clear_error(unbroken, make_run):
    lonely = replace(STAGES[2], distil=Distil())
    run = make_run(STAGES[1], lonely)
    with pytest.raises(InputError, match=f"{SECOND}.fold0.*{THIRD} starts from it.*train it first"):
        train(run, THIRD, FOLD, SETTINGS, ONE)


def test_a_start_of_other_sizes_is_refused(unbroken, make_run):
    """Not one tensor fits: a training from scratch would be something else than was asked for."""
    wider = replace(STAGES[2], model=hand_bert.Config(layers=2, width=12, inner=12, heads=2))
    run = make_run(*STAGES[:2], wider)
    for name in (FIRST, SECOND):
        _copy(unbroken, run, name)
    with pytest.raises(InputError, match=f"{SECOND}.*{THIRD} starts from it.*no weight matrix"):
        train(run, THIRD, FOLD, SETTINGS, ONE)


# --- teachers of other runs and recipes ---------------------------------------------------------


def test_a_teacher_of_another_run_is_found_by_its_folder(unbroken, make_run):
    recipe = replace(STAGES[1], distil=Distil(teacher=str(unbroken.folder / FIRST)))
    run = make_run(recipe)
    guide = teachers.find(run, recipe, FOLD, np.arange(len(run.store)), ONE.device)
    assert isinstance(guide, LiveTeacher)
    for key, value in guide.model.state_dict().items():
        assert torch.equal(value, weights(unbroken, FIRST)[key])


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


# --- across solutions ---------------------------------------------------------------------------

EXPERT = replace(
    conv_transformer.FULL,
    model=conv_transformer.Config(dim=16, kernel=5, convs=1, heads=2),
    epochs=2,
    batch_size=8,
)
PUPIL = replace(
    frame_deberta.B,
    model=frame_deberta.Config(80, dim=8, widths=(16, 16), dropouts=(0.0,), heads=2),
    distilled=None,
    mean_teacher=None,
    mix=None,
    soup_epochs=0,
    shipped="student",
    optimiser=replace(frame_deberta.B.optimiser, lr=1e-2),
    epochs=12,
    batch_size=8,
)


@pytest.fixture(scope="module")
def wide_store(sample, tmp_path_factory) -> stores.Store:
    """The landmarks of both solutions."""
    union = sorted({*EXPERT.layout.sources, *PUPIL.layout.sources})
    return stores.build(sample, tmp_path_factory.mktemp("wide"), union, workers=1)


def divergence(run: Run, name: str) -> float:
    """KL(expert || pupil), in nats, mean over the clips that both learn from."""
    learnt = np.flatnonzero(run.clips.fold.to_numpy() != FOLD)
    logits = {}
    for recipe in (EXPERT, run.recipe(name)):
        clips = prepare(run.store, recipe.read, recipe.key).subset(learnt)
        logits[recipe.name] = predict(run.model(recipe.name, FOLD), recipe, clips)
    expert, pupil = (softmax(x) for x in (logits[EXPERT.name], logits[name]))
    return float((expert * np.log(expert / pupil)).sum(1).mean())


def test_a_solution_learns_from_another_ones_answers(wide_store, make_run):
    """The expert has hardly learnt the signs, so that to agree with it is not to be right."""
    alone = replace(PUPIL, name="alone")
    distil = Distil(teacher=EXPERT.name, weight=10.0, temperature=1.0)
    taught = replace(PUPIL, name="taught", distil=distil)
    run = make_run(EXPERT, alone, taught, store=wide_store)
    train(run, EXPERT.name, FOLD, SETTINGS, ONE)

    index = np.flatnonzero(run.clips.fold.to_numpy() != FOLD)
    guide = teachers.find(run, taught, FOLD, index, ONE.device)
    assert isinstance(guide, CachedTeacher)
    clips = prepare(run.store, EXPERT.read, EXPERT.key).subset(index)
    answers = predict(run.model(EXPERT.name, FOLD), EXPERT, clips)
    np.testing.assert_allclose(guide.probabilities, softmax(answers), atol=1e-6)

    for name in ("alone", "taught"):
        train(run, name, FOLD, SETTINGS, ONE)
    assert divergence(run, "taught") < divergence(run, "alone") / 2
