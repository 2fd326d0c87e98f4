"""The parts of recipes besides data and networks: optimisers, schedules, roles.

They hold values only; the code that they configure is in src/training.
"""

from dataclasses import dataclass
from typing import Literal

from src.common.errors import InputError

Role = Literal["student", "teacher", "distilled", "ema", "best", "soup"]

# --- optimisers ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """The values that all optimisers have."""

    lr: float  # peak learning rate
    weight_decay: float = 0.0  # decoupled
    # Multiply weight_decay by the learning rate once more, so it follows the schedule: a step
    # shrinks a weight by the share lr^2 weight_decay, not lr weight_decay.
    decay_with_rate: bool = False
    no_decay: tuple[str, ...] = ()  # a parameter whose name contains one of these is not decayed
    layer_decay: float = 1.0  # a layer's learning rate, as a share of the next layer's


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimiser):
    """Loshchilov & Hutter, arXiv 1711.05101."""

    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True, kw_only=True)
class Lion(Optimiser):
    """Chen et al., arXiv 2302.06675."""

    betas: tuple[float, float] = (0.9, 0.99)


@dataclass(frozen=True, kw_only=True)
class Ranger(Optimiser):
    """RAdam, Lookahead and gradient centralisation."""

    betas: tuple[float, float] = (0.95, 0.999)
    eps: float = 1e-5
    lookahead_steps: int = 5


@dataclass(frozen=True, kw_only=True)
class RAdamLookahead(Optimiser):
    """RAdam (Liu et al., arXiv 1908.03265) in Lookahead (Zhang et al., arXiv 1907.08610)."""

    betas: tuple[float, float] = (0.9, 0.999)  # of the moving averages
    eps: float = 1e-7  # added to the root of the second one
    # The second average is used once it covers this many steps; until then a step follows the
    # first average alone.
    sma_threshold: int = 4
    lookahead_steps: int = 5  # after this many steps the weights go half the way back


# --- schedules: the learning rate as a share of its peak, by training progress 0 to 1 ------------
# It changes in every step; in the 2nd place's and Slovo's code, once an epoch.


@dataclass(frozen=True)
class WarmupLinear:
    """Linearly from 0 to the peak over `warmup` of the training, then linearly to 0."""

    warmup: float


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the peak down to `floor` times the peak."""

    floor: float


@dataclass(frozen=True)
class FlatCosine:
    """The peak for `flat` of the training, then half a cosine to 0."""

    flat: float


@dataclass(frozen=True)
class WarmupCycles:
    """Linearly from `floor` to the peak over `warmup`, then in cycles of half a cosine.

    Each cycle falls to `floor`, and the next starts at `decay` times the peak of the one before.
    Lengths are in epochs, not shares of the training. Source: Slovo, recognition.md 4.4.
    """

    warmup: float  # epochs
    cycle: float  # epochs that one cycle takes
    decay: float  # of the peak, from one cycle to the next
    floor: float  # share of the peak


@dataclass(frozen=True)
class WarmRestarts:
    """Half a cosine from the peak down to `floor` times the peak, again and again.

    Raises:
        InputError: the cosines would get shorter and shorter, and never reach the training's end.
    """

    first: float  # share of the training that the first cosine takes
    growth: float = 1.0  # each cosine lasts this many times as long as the one before; at least 1
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.first <= 0 or self.growth < 1:
            raise InputError(
                f"schedule.first {self.first}, schedule.growth {self.growth}: expected a first "
                "cosine of more than 0, and each at least as long as the one before (growth 1)"
            )


@dataclass(frozen=True)
class OneCycle:
    """Half a cosine up from `start` times the peak, then half a cosine down to `end` times it.

    With `Optimiser.layer_decay` each layer has its own peak. Source: Smith & Topin, arXiv
    1708.07120.
    """

    warmup: float  # share of the training in which the rate rises; torch has 0.3
    start: float  # torch has 1 / 25
    end: float  # torch has 1 / 250,000


@dataclass(frozen=True)
class OnPlateau:
    """The peak, multiplied by `factor` whenever the loss of the tests stops falling."""

    factor: float
    patience: int  # the rate falls after more than this many tests in a row without a better loss
    threshold: float = 1e-4  # a loss is better if it is below the best by more than this share
    floor: float = 0.0  # share of the peak


Schedule = WarmupLinear | Cosine | FlatCosine | WarmupCycles | WarmRestarts | OneCycle | OnPlateau

# --- roles: which models a training makes -------------------------------------------------------


@dataclass(frozen=True)
class MeanTeacher:
    """A teacher whose parameters follow the student's; the student must agree with it."""

    decay: float = 0.97  # of the moving average; in the first steps min(1 - 1 / (step + 1), decay)
    weight: float = 5.0  # of the consistency loss at the end of its ramp
    ramp: float = 0.25  # share of the training over which the weight rises, as exp(-5 (1 - t)^2)


@dataclass(frozen=True)
class Ema:
    """A moving average of the student's weights and buffers; it is never run in training."""

    decay: float  # of the moving average; min((1 + n) / (10 + n), decay) after n updates


@dataclass(frozen=True)
class Distil:
    """Learn from the logits of finished trainings as well.

    They were trained on the same fold, so they have not seen the held-out signers either. Several
    teachers, separated by commas, teach by the mean of their probabilities. The members of a run
    have the weights and temperatures of its ensemble, even if that is a mean of logits.
    """

    # Recipes of the same run, paths logs/<run>/<recipe>, or a run, logs/<run>; "" = no teacher.
    teacher: str = ""
    weight: float = 1.0  # of T^2 KL(teacher / T || student / T), added to the recipe's own loss
    temperature: float = 2.0  # T

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers' names."""
        return tuple(name.strip() for name in self.teacher.split(",") if name.strip())


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after this many tests in a row without a better accuracy, see `Task.choosing`."""

    patience: int


@dataclass(frozen=True)
class Awp:
    """Adversarial weight perturbation: the gradient is taken at weights moved to raise the loss."""

    delta: float  # each weight tensor moves by delta g / ||g||
    start: float  # share of the training after which it begins
