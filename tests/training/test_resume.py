"""A state to go on from is this very training's, or is refused in one line that names the file."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from src.common import checkpoint
from src.common.errors import InputError
from src.dataset.batches import ClipSet
from src.recipes.base import Recipe
from src.recipes.ingredients import AdamW, EarlyStopping, Lion, Optimiser, RAdamLookahead, Ranger
from src.training import optim, resume
from src.training.distributed import Processes
from src.training.fit import Task, fit
from src.training.loop import Loop, Settings

ONE = Processes(0, 1, torch.device("cpu"))
FP32 = Settings(seed=0, precision="fp32", validations=4)
STOPPED_AFTER = 3  # epochs of four; two of them are in the soup


class _Stopped(Exception):
    pass


def stopped(recipe: Recipe, clips: ClipSet, folder: Path) -> dict:
    """The state that a training leaves when it is stopped in its last epoch."""
    whole_epoch = Loop.epoch

    def stopping(self, train, epoch):
        if epoch == STOPPED_AFTER:
            raise _Stopped
        return whole_epoch(self, train, epoch)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(_Stopped):
        patched.setattr(Loop, "epoch", stopping)
        fit(Task(recipe, clips, clips, 3, folder), FP32, ONE)
    return checkpoint.load(folder / "last.pt")


@pytest.fixture(scope="module")
def recipe(tiny_recipe) -> Recipe:
    """All parts that a state can have: several models, a soup, the best weights."""
    return replace(tiny_recipe, stop=EarlyStopping(100))


@pytest.fixture(scope="module")
def state(recipe, tiny_clips, tmp_path_factory) -> dict:
    return stopped(recipe, tiny_clips, tmp_path_factory.mktemp("stopped"))


def go_on(state: dict, recipe: Recipe, clips: ClipSet, folder: Path) -> pd.DataFrame:
    checkpoint.save(folder / "last.pt", state)
    fit(Task(recipe, clips, clips, 3, folder), FP32, ONE)
    return pd.read_csv(folder / "history.csv")


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
    for number, key in enumerate(at[:-1]):
        if isinstance(inner[key], tuple):  # betas, say: a tuple takes no other part
            at, inner[key] = (
                (*at[: number + 1], at[number + 1], *at[number + 2 :]),
                list(inner[key]),
            )
        inner = inner[key]
    if how == "missing":
        del inner[at[-1]]
    elif how == "text":
        inner[at[-1]] = "not this"
    elif how == "a tensor of another shape":
        inner[at[-1]] = torch.zeros(7, 5, 3, 1)
    return state


WAYS = ("missing", "text", "a tensor of another shape")


def test_no_part_may_be_missing_or_another(state, recipe, tiny_clips, tmp_path):
    """Every part in one of three ways, and every top part in all of them."""
    tried = set()
    for number, at in enumerate(places(state)):
        for how in WAYS if len(at) == 1 else (WAYS[number % 3],):
            if how == "missing" and len(at) == 4 and at[:3] == ("loop", "optimiser", "state"):
                continue  # a parameter that has had no gradient yet has none
            with pytest.raises(InputError) as refused:
                go_on(spoilt(state, at, how), recipe, tiny_clips, tmp_path)
            message = str(refused.value)
            assert message.startswith(f"{tmp_path / 'last.pt'}: expected "), (at, how, message)
            assert len(message.splitlines()) == 1 and "found " in message and "delete" in message
            tried.add((at, how))
    assert len(tried) > 60


OPTIMISERS = [AdamW(lr=1e-3), Lion(lr=1e-3), Ranger(lr=1e-3), RAdamLookahead(lr=1e-3)]


def stepped(config: Optimiser, steps: int) -> torch.optim.Optimizer:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimiser = optim.build(config, [layer])
    for _ in range(steps):
        optimiser.zero_grad()
        layer(torch.randn(4, 3)).square().sum().backward()
        optimiser.step()
    return optimiser


@pytest.mark.parametrize("config", OPTIMISERS, ids=lambda config: type(config).__name__)
@pytest.mark.parametrize("steps", [1, 7])
def test_every_optimiser_takes_its_own_state_and_no_others(config, steps):
    own = copy.deepcopy(stepped(config, steps).state_dict())
    fresh = stepped(config, 0)
    resume.compare(own, fresh.state_dict(), "optimiser")
    fresh.load_state_dict(own)
    resume.check_optimiser(fresh, config)
    inner = own.get("base_optimizer", own)
    for kept in inner["state"].values():
        del kept["exp_avg"]
    fresh.load_state_dict(own)  # torch takes it
    with pytest.raises(ValueError, match="state: without exp_avg"):
        resume.check_optimiser(fresh, config)


def test_a_state_of_another_optimiser_is_refused(state, recipe, tiny_clips, tmp_path):
    """As if the digest of the recipe did not tell them apart."""
    mixed = copy.deepcopy(state)
    for kept in mixed["loop"]["optimiser"]["state"].values():
        del kept["exp_avg_sq"]  # which Lion does not remember
    with pytest.raises(InputError, match=r"last\.pt: expected the state of this very training"):
        go_on(mixed, recipe, tiny_clips, tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_state_is_refused(share, state, recipe, tiny_clips, tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, state)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        InputError, match=r"last\.pt: expected a checkpoint .* delete it"
    ) as refused:
        fit(Task(recipe, tiny_clips, None, 3, tmp_path), FP32, ONE)
    assert len(str(refused.value).splitlines()) == 1


def test_a_state_on_other_clips_is_refused(state, recipe, tiny_clips, tmp_path):
    """Clips that were learnt from could be held out now."""
    checkpoint.save(tmp_path / "last.pt", state)
    n = len(tiny_clips)
    moved = replace(tiny_clips, label=tiny_clips.label[::-1].copy())
    for others in (tiny_clips.subset(np.arange(n - 1)), moved):
        with pytest.raises(InputError, match=r"last\.pt: .* other values: clips changed"):
            fit(Task(recipe, others, tiny_clips, 3, tmp_path), FP32, ONE)
    fit(Task(recipe, tiny_clips, tiny_clips, 3, tmp_path), FP32, ONE)  # the same ones go on
    assert len(pd.read_csv(tmp_path / "history.csv")) == recipe.epochs
