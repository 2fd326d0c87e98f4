"""Trainings side by side: the same results as one after the other, in an order that works."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from src.common.errors import InputError
from src.common.files import locked
from src.recipes.ingredients import Distil
from src.training import train_all as module
from src.training.train_all import train_all
from tests.tiny import RECIPE
from tests.training.trained import FP32, assert_same_training, run_of, run_on

FIRST = replace(RECIPE, name="first")
SECOND = replace(RECIPE, name="second", seed=1)
PUPIL = replace(RECIPE, name="pupil", distil=Distil("first,second"))
NAMES = ("first", "second", "pupil")


@pytest.fixture(scope="module")
def in_turn(sample, tmp_path_factory):
    """Two trainings and one that learns from both, one after the other; nobody may write there."""
    run = run_on(sample, [FIRST, SECOND, PUPIL], tmp_path_factory.mktemp("in_turn"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    train_all(run, FP32, "cpu")
    torch.set_num_threads(before)
    return run


@pytest.mark.slow
def test_side_by_side_they_learn_the_same_and_a_pupil_waits(in_turn, tmp_path, capsys):
    run = run_of([FIRST, SECOND, PUPIL], in_turn.store, tmp_path / "run")
    folders = train_all(run, FP32, "cpu", at_once=2)
    assert folders == [run.training_folder(name, 0) for name in NAMES]
    for name in NAMES:
        assert_same_training(run.training_folder(name, 0), in_turn.training_folder(name, 0))
    said = capsys.readouterr().out.splitlines()
    ends = [f"{name}, fold0: epoch {RECIPE.epochs} of {RECIPE.epochs}" for name in NAMES]
    assert [sum(line.startswith(end) for line in said) for end in ends] == [1, 1, 1]
    assert said[-1].startswith(ends[-1])


def test_one_that_cannot_begin_ends_no_other(in_turn, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ProcessPoolExecutor", lambda n, *_: ThreadPoolExecutor(n))
    run = run_of([FIRST, SECOND, PUPIL], in_turn.store, tmp_path / "run")
    busy, refused = "is busy", pytest.raises(InputError, match=r"the only one here.* is busy since")
    with locked(run.training_folder("first", 0), busy), refused:
        train_all(run, FP32, "cpu", at_once=2)
    assert [run.is_trained(name, 0) for name in NAMES] == [False, True, False]


def test_as_many_as_there_are_cores_and_trainings_that_can_begin(in_turn, tmp_path, monkeypatch):
    began = []
    monkeypatch.setattr(module, "_side_by_side", lambda run, jobs, n, *_: began.append(n))
    monkeypatch.setattr(module, "_train", lambda *_: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    train_all(in_turn, FP32, "cpu", at_once=0)  # nothing is left to train
    run = run_of([FIRST, SECOND, PUPIL], in_turn.store, tmp_path / "run")
    train_all(run, FP32, "cpu", at_once=0)  # the pupil has to wait
    by_path = replace(SECOND, start=str(run.folder / "first"))
    train_all(run_of([FIRST, by_path], in_turn.store, run.folder), FP32, "cpu", at_once=2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    train_all(run, FP32, "cpu", at_once=0)
    assert began == [2]
    full = replace(run, about=replace(run.about, profile="full"))
    assert module._fitting(full, "cpu") == 1


def test_a_process_that_was_killed_is_said_to_want_memory():
    assert "AT_ONCE=1" in str(module._explained(module.BrokenProcessPool()))
    assert module._explained(error := ValueError()) is error
