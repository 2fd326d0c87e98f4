"""Optimisers and schedules of the published trainings, in addition to those of recipes."""

from dataclasses import dataclass

import torch
from torch import nn

from src.recipes.ingredients import AdamW, Cosine, OnPlateau
from src.training import optim, schedules


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """Plain gradient descent."""

    lr: float = 0.1  # learning rate; the default is fairmotion's


@dataclass(frozen=True, kw_only=True)
class RmsProp:
    """RMSprop, which Wasserstein GANs use."""

    lr: float = 5e-5  # learning rate


@dataclass(frozen=True)
class Noam:
    """The rate factor * width^-0.5 * min(s^-0.5, s * warmup^-1.5) at step s, counted from 1.

    The optimiser's own rate is not used. Source: Vaswani et al., arXiv 1706.03762.
    The defaults are motion-transformer's; fairmotion has 512, 4000, 2.0 and betas 0.9 and 0.98.
    """

    width: int = 128
    warmup: int = 10000
    factor: float = 1.0


Optimiser = AdamW | Sgd | RmsProp
Schedule = Cosine | OnPlateau | Noam


def build(config: Optimiser, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a model's parameters; `optim.set_rate` sets its rate."""
    groups = [{"params": list(model.parameters()), "share": 1.0, "decay_per_rate": None}]
    match config:
        case Sgd(lr=rate):
            return torch.optim.SGD(groups, rate)
        case RmsProp(lr=rate):
            return torch.optim.RMSprop(groups, rate)
        case AdamW():
            return optim.build(config, [model])


def rate_at(schedule: Schedule, peak: float, step: int, progress: float) -> float:
    """The learning rate of a step, counted from 0.

    Only `Noam` counts steps. The other schedules use the share of the training that is done, 0 to
    1, and take the optimiser's own rate as their peak.
    """
    if isinstance(schedule, Noam):
        s = step + 1
        return schedule.factor * schedule.width**-0.5 * min(s**-0.5, s * schedule.warmup**-1.5)
    return peak * schedules.factor(schedule, progress)
