"""A step waits for nothing, and micro-batches add up to the whole batch."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from src.common.errors import InputError
from src.dataset.batches import ClipSet
from src.recipes import SOLUTIONS
from src.training import memory
from src.training.distributed import Processes
from src.training.loop import Loop, Settings, precision_of
from src.training.roles import Trainee
from tests.training.trained import clips_of

CPU = torch.device("cpu")
RECIPES = [recipe for solution in SOLUTIONS.values() for recipe in solution.cpu[-1:]]
aten = torch.ops.aten
# Each of these makes the host wait for a GPU, or copies something there, in every step.
WAITING = {
    aten.lift_fresh.default,  # torch.tensor([...])
    aten._local_scalar_dense.default,  # .item(), float(...), if ...
    aten.nonzero.default,
    aten.masked_select.default,
}


class Waits(TorchDispatchMode):
    """Notes the operations that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in WAITING:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def loop_and_clips(recipe, micro_batch: int = 0) -> tuple[Loop, ClipSet]:
    rng = np.random.default_rng(0)
    clips = clips_of(recipe.layout, rng.integers(3, min(recipe.max_len, 30), 16))
    clips.frames[rng.random(clips.frames.shape[:2]) < 0.2] = torch.nan
    torch.manual_seed(0)
    trainee = Trainee(recipe, 5).train()
    loop = Loop(recipe, trainee, Settings(0, "fp32", micro_batch=micro_batch), Processes(0, 1, CPU))
    return loop, clips


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_no_step_waits_for_the_device(recipe):
    loop, clips = loop_and_clips(recipe)
    first, second = loop.batches(clips, [np.arange(8), np.arange(8, 16)], 0)
    loop.step(first, 0)  # tables that are made once are made here
    with Waits() as waits:
        loop.step(second, 1)
        loop.step(replace(second, draw=replace(second.draw, progress=0.6)), 2)
    assert waits.found == []


def plain():
    """The 26th place's recipe without flips and mixup: a clip's loss is its own alone."""
    recipe = next(r for r in RECIPES if r.name == "llama")
    augment = replace(recipe.augment, flip=replace(recipe.augment.flip, p=0.0))
    return replace(recipe, augment=augment, mix=None)


@pytest.mark.parametrize("size", [4, 6, 8])
def test_micro_batches_are_the_whole_batch_where_no_statistics_are_involved(size):
    whole, clips = loop_and_clips(plain())
    parts, _ = loop_and_clips(plain(), size)
    losses = []
    for loop in (whole, parts):
        loop.trainee.eval()  # without dropout and the statistics of a batch
        (batch,) = loop.batches(clips, [np.arange(16)], 0)
        losses.append(loop.step(batch, 0)["student"])
    assert whole.micro_batch == plain().batch_size and parts.micro_batch == size
    torch.testing.assert_close(losses[0], losses[1])
    for a, b in zip(whole.trainee.parameters(), parts.trainee.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("room", "expected"), [(64, 64), (40, 32), (20, 16), (3, 2), (0, 1)])
def test_micro_batches_are_as_many_clips_as_fit_in_groups_of_32(monkeypatch, room, expected):
    monkeypatch.setattr(memory, "kept_per_clip", lambda trainee, autocast: 1000)
    free = SimpleNamespace(available=1000 * room / memory.USABLE + 1)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: free)
    loop, _ = loop_and_clips(plain())
    assert memory.fitting(loop.trainee, 64, CPU, loop.autocast) == expected


def test_a_step_keeps_less_in_bf16():
    loop, _ = loop_and_clips(plain())
    exact = memory.kept_per_clip(loop.trainee, torch.autocast("cpu", enabled=False))
    halved = memory.kept_per_clip(loop.trainee, torch.autocast("cpu", torch.bfloat16))
    assert exact / 2 < halved < exact


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_card_without_units_for_bf16_takes_fp16(monkeypatch, native, expected):
    """A T4 emulates bfloat16, and says that it supports it."""
    supported = lambda including_emulation=True: native or including_emulation  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert precision_of("auto", torch.device("cuda")) is expected
    assert precision_of("fp32", torch.device("cuda")) is torch.float32


def test_every_view_has_donors_of_its_own_and_micro_batches_keep_them():
    recipe = replace(next(r for r in RECIPES if r.name == "frame_deberta_b"), batch_size=16)
    loop, clips = loop_and_clips(recipe)
    n_views = len(loop.trainee.seeing)
    batch = next(loop.batches(clips, [np.arange(16)], 0))
    for part in (batch, *batch.parts(6)):
        donor = part.draw.donor
        assert torch.equal(donor.label, part.clips.label.repeat(n_views))
    by_view = batch.draw.donor.xyz[:, 0].nan_to_num().unflatten(0, (n_views, -1))
    assert (by_view[0] != by_view[1]).any()
    dealt = (torch.arange(first, 16, 3) for first in range(3))
    for rows, part in zip(dealt, batch.parts(6), strict=True):
        assert torch.equal(part.draw.donor.xyz[:, 0].nan_to_num(), by_view[:, rows].flatten(0, 1))


@pytest.mark.parametrize("name", ["tests", "micro_batch"])
def test_negative_settings_are_refused(name):
    with pytest.raises(InputError, match=f"{name.upper()}: expected 0 or more, found -1"):
        Settings(**{name: -1})
