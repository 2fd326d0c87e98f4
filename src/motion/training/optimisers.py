"""Optimisers and learning-rate schedules of the published trainings, and ours for short ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Adam:
    """Adam, or AdamW where there is weight decay."""

    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Sgd:
    """Plain gradient descent (fairmotion's default, rate 0.1)."""

    rate: float = 0.1


@dataclass(frozen=True)
class RmsProp:
    """RMSprop, as Wasserstein GANs use it."""

    rate: float = 5e-5


Optimiser = Adam | Sgd | RmsProp


@dataclass(frozen=True)
class Constant:
    """The optimiser's rate throughout."""


@dataclass(frozen=True)
class Noam:
    """factor * width^-0.5 * min(s^-0.5, s * warmup^-1.5) at step s; the optimiser's rate is unused.

    Source: Vaswani et al., arXiv 1706.03762. motion-transformer: 128, 10000, factor 1.
    fairmotion: 512, 4000, factor 2, betas 0.9 and 0.98.
    """

    width: int = 128
    warmup: int = 10000
    factor: float = 1.0


@dataclass(frozen=True)
class Cosine:
    """Linearly up over `warmup` steps, then a half cosine down to `last` of the peak."""

    warmup: int = 100
    last: float = 0.01


@dataclass(frozen=True)
class HalveOnPlateau:
    """Half the rate after every `patience` validations without an improvement (fairmotion)."""

    patience: int = 5


Schedule = Constant | Noam | Cosine | HalveOnPlateau


def build(config: Optimiser, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a config."""
    match config:
        case Adam(rate, betas, weight_decay):
            return torch.optim.AdamW(
                parameters, lr=rate, betas=betas, weight_decay=weight_decay, fused=True
            )
        case Sgd(rate):
            return torch.optim.SGD(parameters, lr=rate)
        case RmsProp(rate):
            return torch.optim.RMSprop(parameters, lr=rate)


def rate_at(schedule: Schedule, peak: float, step: int, progress: float, stale: int = 0) -> float:
    """The learning rate of a step.

    Args:
        schedule: which.
        peak: the optimiser's rate.
        step: from 0.
        progress: share of the training that is done, 0 to 1.
        stale: validations since the score last improved.
    """
    match schedule:
        case Constant():
            return peak
        case Noam(width, warmup, factor):
            s = step + 1
            return factor * width**-0.5 * min(s**-0.5, s * warmup**-1.5)
        case Cosine(warmup, last):
            wave = (1 + math.cos(math.pi * progress)) / 2
            return peak * min(1.0, (step + 1) / warmup) * (last + (1 - last) * wave)
        case HalveOnPlateau(patience):
            return peak * 0.5 ** (stale // patience)
