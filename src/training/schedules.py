"""The learning rate over a training, as a share of its peak."""

import math

from src.recipes.ingredients import (
    Cosine,
    FlatCosine,
    OneCycle,
    OnPlateau,
    Schedule,
    WarmRestarts,
    WarmupCycles,
    WarmupLinear,
)


def factor(schedule: Schedule, progress: float, epochs: int = 1) -> float:
    """The learning rate as a share of its peak.

    Args:
        schedule: how the rate rises and falls.
        progress: the share of all steps that is done.
        epochs: how many the whole training has; only `WarmupCycles` needs them.
    """
    match schedule:
        case WarmupLinear(warmup):
            if progress < warmup:
                return progress / warmup
            return max(0.0, (1 - progress) / (1 - warmup))
        case Cosine(floor):
            return floor + (1 - floor) * _half_cosine(progress)
        case FlatCosine(flat):
            return _half_cosine((progress - flat) / (1 - flat)) if progress > flat else 1.0
        case WarmupCycles(warmup, cycle, decay, floor):
            epoch = progress * epochs
            if epoch < warmup:
                return floor + (1 - floor) * epoch / warmup
            number, share = divmod((epoch - warmup) / cycle, 1)
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
    """How far the learning rate has fallen because the loss no longer falls.

    torch's ReduceLROnPlateau does the same to an optimiser's rate; here the rate also follows the
    progress, so only the factor is kept.

    Args:
        schedule: unless it is `OnPlateau`, the factor stays 1.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.level, self.best, self.tests_since = 1.0, math.inf, 0

    def consider(self, loss: float) -> None:
        """Lower the level if this is one test too many in a row without a better loss."""
        if not isinstance(self.schedule, OnPlateau):
            return
        self.tests_since += 1
        if loss < self.best * (1 - self.schedule.threshold):
            self.best, self.tests_since = loss, 0
        if self.tests_since > self.schedule.patience:
            self.level = max(self.level * self.schedule.factor, self.schedule.floor)
            self.tests_since = 0

    def state_dict(self) -> dict:
        """The state that `load_state_dict` restores."""
        return {name: getattr(self, name) for name in ("level", "best", "tests_since")}

    def load_state_dict(self, state: dict) -> None:
        """Restore the state that `state_dict` returned."""
        self.level, self.best = state["level"], state["best"]
        self.tests_since = state["tests_since"]


def _half_cosine(t: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * t))
