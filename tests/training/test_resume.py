"""A state to go on from is this very training's, or is refused in one line that names the file."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from src.common import checkpoint
from src.common.errors import InputError
from src.dataset.batches import ClipSet
from src.recipes.base import Recipe
from src.recipes.ingredients import EarlyStopping
from src.training import memory
from src.training.fit import Task, fit
from src.training.loop import Settings
from tests.training.trained import FP32, ONE, history, stopped


@pytest.fixture(scope="module")
def recipe(tiny_recipe) -> Recipe:
    """All parts that a state can have: several models, a soup, the best weights."""
    return replace(tiny_recipe, stop=EarlyStopping(100))


@pytest.fixture(scope="module")
def state(recipe, tiny_clips, tmp_path_factory) -> dict:
    """What a training leaves that is stopped in the last of its four epochs."""
    folder = tmp_path_factory.mktemp("stopped")
    stopped(3, lambda: fit(Task(recipe, tiny_clips, tiny_clips, 3, folder), FP32, ONE))
    return checkpoint.load(folder / "last.pt")


def go_on(
    state: dict, recipe: Recipe, clips: ClipSet, folder: Path, settings: Settings = FP32
) -> None:
    checkpoint.save(folder / "last.pt", state)
    fit(Task(recipe, clips, clips, 3, folder), settings, ONE)


def places(state: object, at: tuple = ()) -> Iterator[tuple]:
    """Paths to all parts of a state; of containers of many alike, the first and the last."""
    if isinstance(state, dict | list | tuple):
        keys = list(state) if isinstance(state, dict) else list(range(len(state)))
        for key in keys if len(keys) < 8 else (keys[0], keys[-1]):
            yield (*at, key)
            yield from places(state[key], (*at, key))


def spoilt(state: dict, at: tuple, how: str) -> dict:
    """A copy without the part at a path, or with another thing in its place."""
    state = copy.deepcopy(state)
    inner = state
    for key in at[:-1]:
        if isinstance(inner[key], tuple):  # betas, say: a tuple takes no other part
            inner[key] = list(inner[key])
        inner = inner[key]
    if how == "missing":
        del inner[at[-1]]
    elif how == "text":
        inner[at[-1]] = "not this"
    elif how == "a tensor of another shape":
        inner[at[-1]] = torch.zeros(7, 5, 3, 1)
    return state


def test_fp16_goes_on_from_a_training_that_needed_no_scaler(recipe, tiny_clips, tmp_path, state):
    """A run that began on a card with bfloat16 goes on on an older one."""
    assert state["loop"]["scaler"] == {}
    go_on(state, recipe, tiny_clips, tmp_path, replace(FP32, precision="fp16"))
    assert history(tmp_path).epoch.tolist() == [1, 2, 3, 4]
    assert checkpoint.load(tmp_path / "last.pt")["loop"]["scaler"]["scale"] > 0


def test_a_training_goes_on_with_micro_batches_of_its_size(
    recipe, tiny_clips, tmp_path, state, monkeypatch, capsys
):
    """More memory is free than before; then less; then the user asks for another size."""
    last = tmp_path / "last.pt"
    for size, fits, asked, then in ((4, 8, 0, 4), (4, 2, 0, 2), (4, 8, 8, 8)):
        monkeypatch.setattr(memory, "fitting", lambda *_, fits=fits: fits)
        settings = replace(FP32, micro_batch=asked)
        go_on(state | {"micro_batch": size}, recipe, tiny_clips, tmp_path, settings)
        assert checkpoint.load(last)["micro_batch"] == then
        said = f"{last}: {size} clips at a time so far, {then} from now on: the history"
        assert (said in capsys.readouterr().out) == (then != size)


WAYS = ("missing", "text", "a tensor of another shape")


def test_no_part_may_be_missing_or_another(state, recipe, tiny_clips, tmp_path):
    """Every part in one of three ways, and every top part in all of them."""
    tried = set()
    for number, at in enumerate(places(state)):
        for how in WAYS if len(at) == 1 else (WAYS[number % 3],):
            if how == "missing" and len(at) == 4 and at[:3] == ("loop", "optimiser", "state"):
                continue  # a parameter that has had no gradient yet has none
            if how == "missing" and at in (("made_from", "seed"), ("micro_batch",)):
                continue  # states of before did not hold them
            with pytest.raises(InputError) as refused:
                go_on(spoilt(state, at, how), recipe, tiny_clips, tmp_path)
            message = str(refused.value)
            assert message.startswith(f"{tmp_path / 'last.pt'}: expected "), (at, how, message)
            assert len(message.splitlines()) == 1 and "found " in message and "delete" in message
            tried.add((at, how))
    assert len(tried) > 60


def test_a_state_of_another_recipe_or_seed_or_on_other_clips_is_refused(
    state, recipe, tiny_clips, tmp_path
):
    """Clips that were learnt from could be held out now."""
    fewer = tiny_clips.subset(np.arange(len(tiny_clips) - 1))
    moved = replace(tiny_clips, label=tiny_clips.label[::-1].copy())
    longer = replace(recipe, epochs=5)
    for other, clips, settings, change in (
        (recipe, fewer, FP32, "clips changed"),
        (recipe, moved, FP32, "clips changed"),
        (longer, tiny_clips, FP32, r"recipe\.epochs 4 -> 5;"),
        (recipe, tiny_clips, replace(FP32, seed=1), "seed 0 -> 1;"),
    ):
        with pytest.raises(InputError, match=rf"last\.pt: .* other values: {change}"):
            go_on(state, other, clips, tmp_path, settings)
    fit(Task(recipe, tiny_clips, tiny_clips, 3, tmp_path), FP32, ONE)  # the file is as it was
    assert len(history(tmp_path)) == recipe.epochs


def test_a_state_of_before_seeds_were_kept_goes_on(state, recipe, tiny_clips, tmp_path):
    before = {name: value for name, value in state["made_from"].items() if name != "seed"}
    go_on(state | {"made_from": before}, recipe, tiny_clips, tmp_path, replace(FP32, seed=1))
    assert len(history(tmp_path)) == recipe.epochs
