"""Cyclic schedules against the document and torch's; the plateau against torch's."""

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from src.common.errors import InputError
from src.models.hierarchical import Config
from src.models.llama import Config as LlamaConfig
from src.recipes.hierarchical import LAYOUT
from src.recipes.ingredients import (
    AdamW,
    Cosine,
    FlatCosine,
    OneCycle,
    OnPlateau,
    WarmRestarts,
    WarmupLinear,
)
from src.training import optim, schedules

STEPS = 200


def ours(schedule) -> list[float]:
    return [schedules.factor(schedule, step / STEPS) for step in range(STEPS)]


def torchs(kind, **values) -> list[float]:
    """What a scheduler of torch does to a learning rate of 1."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = kind(optimiser, **values), []
    for _ in range(STEPS):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (WarmupLinear(0.25), {0.0: 0.0, 0.125: 0.5, 0.25: 1.0, 0.625: 0.5, 1.0: 0.0}),
        (FlatCosine(flat=0.6), {0.0: 1.0, 0.6: 1.0, 0.8: 0.5, 1.0: 0.0}),
        (FlatCosine(flat=1.0), {0.0: 1.0, 0.5: 1.0, 0.999: 1.0}),
        (Cosine(floor=0.1), {0.0: 1.0, 0.5: 0.55, 1.0: 0.1}),
        (OneCycle(0.3, 0.04, 4e-6), {0.0: 0.04, 0.15: 0.52, 0.3: 1.0, 0.65: 0.500002, 1.0: 4e-6}),
    ],
)
def test_a_schedule_goes_through_its_points(schedule, points):
    for progress, expected in points.items():
        assert schedules.factor(schedule, progress) == pytest.approx(expected)


@pytest.mark.parametrize(("first", "growth"), [(0.5, 0.5), (0.0, 1.0)])
def test_restarts_that_would_never_reach_the_end_are_refused(first, growth):
    with pytest.raises(InputError, match=f"schedule.growth {growth}: expected .*at least as long"):
        WarmRestarts(first, growth)


@pytest.mark.parametrize("growth", [1, 2])
def test_warm_restarts_are_torchs(growth):
    schedule = WarmRestarts(first=25 / STEPS, growth=float(growth), floor=0.1)
    expected = torchs(lr_scheduler.CosineAnnealingWarmRestarts, T_0=25, T_mult=growth, eta_min=0.1)
    np.testing.assert_allclose(ours(schedule), expected, rtol=1e-6)
    assert schedules.factor(schedule, 1.0) >= 0.1


def test_one_cycle_is_torchs():
    schedule = OneCycle(warmup=0.3, start=1 / 25, end=1 / 25e4)
    # torch's last step is at the end, and its summit at step pct_start x steps - 1.
    steps = STEPS + 1
    pct_start = (0.3 * STEPS + 1) / steps
    expected = torchs(lr_scheduler.OneCycleLR, max_lr=1, total_steps=steps, pct_start=pct_start)
    np.testing.assert_allclose(ours(schedule), expected, rtol=1e-6)


@pytest.mark.parametrize("patience", [0, 2, 5])
def test_the_plateau_is_torchs(patience):
    """Also when it is saved after every test and goes on where it was saved."""
    config = OnPlateau(factor=0.5, patience=patience, threshold=1e-4, floor=0.05)
    losses = 2 + np.random.default_rng(0).normal(0, 0.3, 60) - np.linspace(0, 1, 60)
    state = schedules.Plateau(config).state_dict()
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.5, patience=patience, threshold=1e-4, min_lr=0.05
    )
    levels = []
    for loss in losses.tolist():
        plateau = schedules.Plateau(config)
        plateau.load_state_dict(state)
        plateau.consider(loss)
        state = plateau.state_dict()
        scheduler.step(loss)
        levels.append(plateau.level)
        assert plateau.level == pytest.approx(optimiser.param_groups[0]["lr"])
    assert len(set(levels)) > 2


def test_other_schedules_have_no_plateau():
    plateau = schedules.Plateau(Cosine(0.0))
    for _ in range(50):
        plateau.consider(1.0)
    assert plateau.level == 1.0


SLOVO = Config(8, dim=8, heads=2, local_layers=1, global_layers=1, patch_heads=2, positions=8)
LLAMA = LlamaConfig(heads=2, depth=2, hidden=8, head_dim=4, max_len=4)


@pytest.mark.parametrize(
    ("config", "first", "depth"),
    [
        (SLOVO, {"encoder"}, 3),  # the convolution is one of the layers
        (LLAMA, {"frames", "frame_norm", "positions", "token"}, 2),
    ],
)
def test_layers_have_their_own_rates(config, first, depth):
    """What lies behind the layers, norms too, has the peak; each layer below it a tenth less."""
    model = config.build(LAYOUT, 3)
    optimiser = optim.build(AdamW(lr=1.0, layer_decay=0.9), [model])
    optim.set_rate(optimiser, 0.5)
    rate = {id(p): g["lr"] for g in optimiser.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        part, *rest = name.split(".")
        below = depth if part in first else 0
        below = depth - 1 - int(rest[0]) if part == "layers" else below
        assert rate[id(parameter)] == pytest.approx(0.5 * 0.9**below), name
