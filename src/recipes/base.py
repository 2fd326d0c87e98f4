"""The base classes of recipes and of published solutions.

A recipe is a frozen dataclass of values, without logic. Each solution subclasses it and declares
the types of its own pipelines and network. So a recipe reads like its write-up, every number is a
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

Pool = Literal["probabilities", "logits"]  # what an ensemble averages


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All values of one training: clip steps, network, loss, optimiser and the rest."""

    name: str  # also the name of its folder in a run
    layout: Layout  # the points that it reads
    clip: ClipPipeline  # deterministic steps on one clip; they are exported
    augment: AugmentationPipeline  # random operations on a batch
    features: Callable[..., Tensor]  # (xyz, mask, layout) -> what the network reads; exported
    model: NetworkConfig  # the student network's sizes
    max_len: int  # frames of the longest clip that the network takes
    loss: Callable[..., Tensor]  # (network's outputs, soft targets, training progress) -> scalar
    mix: ManifoldMixup | None = None  # mixup, of whatever kind the recipe declares
    keep_frames: KeepFrames | None = None  # drops frames after mixing; None = keep all
    optimiser: Optimiser  # with its peak learning rate
    schedule: Schedule  # the learning rate over the training
    epochs: int
    steps: int = 0  # per epoch, on clips drawn with replacement; 0 = each clip once per epoch
    batch_size: int  # clips in a step, over all processes
    # This many random batches are sorted by length together, which reduces padding. 0 = sort all
    # clips; 1 = sort none: mixup and batch norms then meet clips of every length in one batch.
    length_window: int = 50
    clip_norm: float = 0.0  # largest norm of each trained model's gradient; 0 = no clipping
    mean_teacher: MeanTeacher | None = None  # a teacher that follows the student
    distilled: NetworkConfig | None = None  # a smaller network, taught in the same loop
    ema: Ema | None = None  # an average of the student's weights
    distil: Distil = Distil()  # a finished training to learn from
    # A recipe of the same run, or a path logs/<run>/<recipe>, to start from: the weights whose
    # names and shapes agree are copied; "" = start from random weights.
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
        """Choose the layout's points of one clip, and apply the clip steps.

        Args:
            rows: N landmarks in each of T frames; NaN = not detected.
            landmarks: the row in a frame of each of the N landmarks.
        """
        column = {landmark: n for n, landmark in enumerate(landmarks)}
        points = [[column[landmark] for landmark in point] for point in self.layout.points]
        return self.clip(select(rows, points), self.layout)

    @property
    def key(self) -> str:
        """A text that differs whenever `read` may give another answer.

        It holds the points, the steps' values, and each step's whole file, whose constants count.
        """
        code = sorted({_file_of(step) for step in (select, *map(type, self.clip))})
        return repr((self.layout.points, self.clip, code))

    @property
    def needs_choosing_clips(self) -> bool:
        """True if clips are set aside to choose the best epoch, or to tell when the rate falls."""
        return self.stop is not None or isinstance(self.schedule, OnPlateau)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles whose weights a training keeps; those that usually ship come first."""
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
        """The sizes of a role's network; soup and best have those of the model they come from."""
        derived = role == "distilled" or (role in ("soup", "best") and self.ema is None)
        return self.distilled if derived and self.distilled else self.model


def _file_of(step: Callable) -> str:
    """The source of the file that defines a step; for a step from a notebook, its code alone."""
    try:
        return inspect.getsource(sys.modules[step.__module__])
    except (OSError, TypeError):
        return inspect.getsource(step)


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A published solution: what its authors report, and its recipes in three sizes.

    The recipes of each size are in the order in which they are trained and blended. The scores are
    on data that no run here has.
    """

    source: str  # place, people, code and its licence
    score: str  # accuracy on the competition's test sets or by cross-validation (CV)
    cost: str  # of the authors' training
    full: tuple[Recipe, ...]  # as published
    cpu: tuple[Recipe, ...]  # for some hundred clips and two CPU cores
    sample: tuple[Recipe, ...]  # for the synthetic sample
    pool: Pool = "probabilities"  # what the authors' own ensemble averages

    def recipes(self, profile: str) -> tuple[Recipe, ...]:
        """The recipes of a profile: full, cpu or sample."""
        return {"full": self.full, "cpu": self.cpu, "sample": self.sample}[profile]

    @property
    def all_recipes(self) -> tuple[Recipe, ...]:
        """The recipes of all sizes."""
        return self.full + self.cpu + self.sample
