"""Optimisers and schedules of the recipes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytorch_optimizer
import torch
from torch import nn

from src.recipes.ingredients import (
    AdamW,
    Cosine,
    FlatCosine,
    Lion,
    OneCycle,
    OnPlateau,
    Optimiser,
    RAdamLookahead,
    Ranger,
    Schedule,
    WarmRestarts,
    WarmupCycles,
    WarmupLinear,
)


def build(config: Optimiser, models: Iterable[nn.Module]) -> torch.optim.Optimizer:
    """One optimiser over the trained parameters of all models.

    The models share no parameter, so one optimiser does what one for each would.
    """
    groups, rate, decay = _groups(config, models), config.lr, config.weight_decay
    match config:
        case AdamW(betas=betas):
            return torch.optim.AdamW(groups, rate, betas=betas, weight_decay=decay, fused=True)
        case Lion(betas=betas):
            return pytorch_optimizer.Lion(groups, rate, betas=betas, weight_decay=decay)
        case Ranger(betas=betas, eps=eps, lookahead_steps=k):
            # Without degenerated_to_sgd this library's first five steps go up the gradient.
            return pytorch_optimizer.Ranger(
                groups, rate, betas=betas, eps=eps, k=k, weight_decay=decay, degenerated_to_sgd=True
            )
        case RAdamLookahead(betas=betas, eps=eps, sma_threshold=threshold, lookahead_steps=k):
            inner = pytorch_optimizer.RAdam(
                groups, rate, betas=betas, weight_decay=decay, eps=eps,
                n_sma_threshold=threshold, degenerated_to_sgd=True,
            )  # fmt: skip
            return pytorch_optimizer.Lookahead(inner, k=k)
    raise TypeError(f"no optimiser for a config of type {type(config).__qualname__}")


def _groups(config: Optimiser, models: Iterable[nn.Module]) -> list[dict]:
    """Parameters by whether they are decayed, and by the share of the rate that they get."""
    groups: dict[tuple[bool, float], dict] = {}
    for model in models:
        depth = len(getattr(model, "layers", ()))
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            decayed = not any(part in name for part in config.no_decay)
            share = config.layer_decay ** (depth - _height(name, depth))
            group = groups.setdefault((decayed, share), {"params": [], "share": share})
            group["weight_decay"] = config.weight_decay if decayed else 0.0
            group["decay_per_rate"] = group["weight_decay"] if config.decay_with_rate else None
            group["params"].append(parameter)
    return list(groups.values())


def _height(name: str, depth: int) -> int:
    """How many layers lie below a parameter: 0 for the embedding, `depth` for the head."""
    words = name.split(".")
    if words[0] == "layers":
        return int(words[1]) + 1
    return depth if words[0] == "classifier" else 0


def factor(schedule: Schedule, progress: float) -> float:
    """The learning rate as a share of its peak.

    Args:
        schedule: the recipe's.
        progress: share of all steps that are done, 0 to 1.
    """
    match schedule:
        case WarmupLinear(warmup):
            if progress < warmup:
                return progress / warmup
            return max(0.0, (1 - progress) / (1 - warmup))
        case Cosine(floor):
            return floor + (1 - floor) * _half_cosine(progress)
        case FlatCosine(flat):
            return _half_cosine(max(0.0, (progress - flat) / (1 - flat)))
        case WarmupCycles(warmup, cycle, decay, floor):
            if progress < warmup:
                return floor + (1 - floor) * progress / warmup
            number, share = divmod((progress - warmup) / cycle, 1)
            return floor + (decay**number - floor) * _half_cosine(share)
        case WarmRestarts(first, growth, floor):
            start, length = 0.0, first
            while progress >= start + length:
                start, length = start + length, length * growth
            return floor + (1 - floor) * _half_cosine((progress - start) / length)
        case OneCycle(warmup, start, end):
            if progress < warmup:
                return 1 + (start - 1) * _half_cosine(progress / warmup)
            return end + (1 - end) * _half_cosine((progress - warmup) / (1 - warmup))
        case OnPlateau():
            return 1.0  # `Plateau` multiplies it
    raise TypeError(f"no schedule of type {type(schedule).__qualname__}")


class Plateau:
    """How far the learning rate has been reduced because the held-out loss has stopped falling.

    Args:
        schedule: the recipe's; another kind never reduces it here.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.level, self.best, self.tests_since = 1.0, math.inf, 0

    def consider(self, loss: float) -> None:
        """Take note of a test's loss."""
        if not isinstance(self.schedule, OnPlateau):
            return
        self.tests_since += 1
        if loss < self.best * (1 - self.schedule.threshold):
            self.best, self.tests_since = loss, 0
        if self.tests_since > self.schedule.patience:
            self.level = max(self.level * self.schedule.factor, self.schedule.floor)
            self.tests_since = 0

    def state_dict(self) -> dict:
        """What `load_state_dict` needs to go on."""
        return {"level": self.level, "best": self.best, "tests_since": self.tests_since}

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state_dict` was taken."""
        self.level, self.best = state["level"], state["best"]
        self.tests_since = state["tests_since"]


def _half_cosine(t: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * t))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group to its share of `rate`, and a decay that follows it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]
        if group["decay_per_rate"] is not None:
            group["weight_decay"] = group["decay_per_rate"] * group["lr"]
