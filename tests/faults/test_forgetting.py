"""A member is trained again: no kill on the way leaves a mark of what is gone, or old weights."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from src.recipes import config
from src.recipes.base import Recipe
from src.runs import TRAINED, About, Run
from tests.faults.stages import RECIPE

FOLD = 0
OLD, NEW = RECIPE, replace(RECIPE, epochs=RECIPE.epochs + 1)
FILES = {"student.pt", "soup.pt", "last.pt", "history.csv", "predictions.parquet"}


class _Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def run_of(folder: Path, *recipes: Recipe) -> Run:
    """A run of these recipes; a folder that is there stays, as 01_preparation leaves it."""
    for recipe in recipes:
        config.save(recipe, folder / recipe.name / "config.json")
    (folder / "folds.csv").write_text("sequence,fold\n")
    names = tuple(recipe.name for recipe in recipes)
    run = Run(folder, About("sample", "", "", 0, (), names, (FOLD,)))
    run.__dict__["store"] = SimpleNamespace(signs={"sign": 0}, clip_files="", clip_contents=None)
    return run


def trained(run: Run, name: str) -> Path:
    """A finished training, as far as its files' names go."""
    folder = run.training_folder(name, FOLD)
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        (folder / file).write_text("weights")
    run.training_mark(name, FOLD).write()
    return folder


def forget_until(run: Run, name: str, kill_at: int) -> bool:
    """Forget, killed before the n-th change of a file; True if it was."""
    moments = iter(range(kill_at))

    def counted(change):
        def changed(*arguments, **options):
            if next(moments, None) is None:
                raise _Killed
            return change(*arguments, **options)

        return changed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "unlink", counted(Path.unlink))
        patched.setattr(os, "replace", counted(os.replace))
        try:
            run.discard_stale(name, FOLD)
        except _Killed:
            return True
    return False


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_kill_leaves_no_mark_without_its_files_and_no_files_without_a_mark(tmp_path):
    kills, killed = 0, True
    while killed:
        folder = tmp_path / str(kills)
        member = trained(run_of(folder, OLD), OLD.name)
        new = run_of(folder, NEW)
        killed = forget_until(new, NEW.name, kills)
        kills += killed
        for recipe in (OLD, NEW):  # the old one may be wanted again
            if run_of(folder, recipe).training_mark(recipe.name, FOLD).is_finished:
                assert left(member) >= FILES, (kills, recipe.epochs)
        assert TRAINED in left(member) or not left(member) & FILES, kills
        # The same command goes on: nothing is left for the new training to take for its own.
        run_of(folder, NEW).discard_stale(NEW.name, FOLD)
        assert left(member) == set()
    assert kills > len(FILES)
