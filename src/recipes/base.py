"""What a recipe and a published solution are.

A recipe is a frozen dataclass of values, without logic. A published solution narrows the types of
its fields to its own pipelines and network, so that it reads like its write-up, every number is a
typed flag (`--augment.rotate.degrees 30`), and config.json rebuilds it anywhere.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from src.landmarks import Layout
from src.models import NetworkConfig
from src.recipes.ingredients import (
    Awp,
    Distil,
    EarlyStopping,
    Ema,
    MeanTeacher,
    OnPlateau,
    Optimiser,
    Role,
    Schedule,
)
from src.transforms.augment.pace import KeepFrames
from src.transforms.mix import ManifoldMixup
from src.transforms.pipeline import AugmentationPipeline, ClipPipeline
from src.transforms.steps.frames import select

Pool = Literal["probabilities", "logits"]  # what an ensemble takes the mean of


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One network and everything that makes it."""

    name: str  # of its folder in a run
    layout: Layout  # the points that it reads
    clip: ClipPipeline  # deterministic steps on one clip; they are exported
    augment: AugmentationPipeline  # random operations on a batch
    features: Callable[..., Tensor]  # (xyz, mask, layout) -> what the network reads; exported
    model: NetworkConfig  # the student network's sizes
    max_len: int  # frames of the longest clip that the network takes
    loss: Callable[..., Tensor]  # (network's outputs, soft targets, training progress) -> scalar
    mix: ManifoldMixup | None = None  # mixup, of whatever kind the recipe declares
    keep_frames: KeepFrames | None = None  # after mixing; None = keeps all
    optimiser: Optimiser  # with its peak learning rate
    schedule: Schedule  # the learning rate over the training
    epochs: int
    steps: int = 0  # in an epoch, on clips drawn with replacement; 0 = it takes each clip once
    batch_size: int  # clips in a step, over all processes
    # So many random batches are sorted by length together, so that little is padded. 0 = all clips
    # are; 1 = none: mixup and batch norms then meet clips of every length in one batch.
    length_window: int = 50
    clip_norm: float = 0.0  # largest norm of each trained model's gradient; 0 = no clipping
    mean_teacher: MeanTeacher | None = None  # a teacher that follows the student
    distilled: NetworkConfig | None = None  # a smaller network, taught in the same loop
    ema: Ema | None = None  # an average of the student's weights
    distil: Distil = Distil()  # a finished training to learn from
    # A recipe of the same run, or a path logs/<run>/<recipe>, whose weights to start from, where
    # names and shapes agree; "" = start from random weights.
    start: str = ""
    awp: Awp | None = None
    stop: EarlyStopping | None = None  # None = train for all epochs
    soup_epochs: int = 0  # the soup is the mean over this many last epochs; 0 = no soup
    shipped: Role = "student"  # the role whose weights are exported
    ships: bool = True  # False for a stage that only teaches another, or gives it weights
    seed: int = 0  # added to the run's seed; ensemble members may differ in nothing else

    def read(
        self, rows: Float[Tensor, "T N 3"], landmarks: Sequence[int]
    ) -> Float[Tensor, "T2 L 3"]:
        """One clip as the network sees it, before features: the chosen points, the clip steps.

        Args:
            rows: NaN = not detected.
            landmarks: the frame row behind each of the N rows.
        """
        column = {landmark: n for n, landmark in enumerate(landmarks)}
        points = [[column[landmark] for landmark in point] for point in self.layout.points]
        return self.clip(select(rows, points), self.layout)

    @property
    def key(self) -> str:
        """All that the answer of `read` depends on: points, values of the steps, their code.

        The code is that of the whole file of each step, for it may use the file's constants.
        """
        code = sorted({_file_of(step) for step in (select, *map(type, self.clip))})
        return repr((self.layout.points, self.clip, code))

    @property
    def needs_choosing_clips(self) -> bool:
        """True if clips are set aside, on which the best epoch is chosen or the rate falls."""
        return self.stop is not None or isinstance(self.schedule, OnPlateau)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles whose weights a training keeps, those of which it can ship first."""
        made: dict[Role, object] = {
            "soup": self.soup_epochs,
            "best": self.stop,
            "ema": self.ema,
            "distilled": self.distilled,
            "student": True,
            "teacher": self.mean_teacher,
        }
        return tuple(role for role, there in made.items() if there)

    def config_of(self, role: Role) -> NetworkConfig:
        """The sizes of the network in a role; soup and best are made of the most derived one."""
        derived = role == "distilled" or (role in ("soup", "best") and self.ema is None)
        return self.distilled if derived and self.distilled else self.model


def _file_of(step: Callable) -> str:
    """The source of the file that defines a step; in a notebook, of the step alone."""
    try:
        return inspect.getsource(sys.modules[step.__module__])
    except (OSError, TypeError):
        return inspect.getsource(step)


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A published solution: what its authors report, and its recipes in three sizes.

    The recipes of each size are in the order in which they are trained and blended. No score is on
    the data of any run here.
    """

    source: str  # place, people, code and its licence
    score: str  # accuracy on the competition's test sets or by cross-validation (CV)
    cost: str  # of their training
    full: tuple[Recipe, ...]  # as published
    cpu: tuple[Recipe, ...]  # for some hundred clips and two CPU cores
    sample: tuple[Recipe, ...]  # for the synthetic sample
    pool: Pool = "probabilities"  # what its own ensemble takes the mean of

    def recipes(self, profile: str) -> tuple[Recipe, ...]:
        """The recipes of a profile: full, cpu or sample."""
        return {"full": self.full, "cpu": self.cpu, "sample": self.sample}[profile]

    @property
    def all_recipes(self) -> tuple[Recipe, ...]:
        """The recipes of all sizes."""
        return self.full + self.cpu + self.sample
