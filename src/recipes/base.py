"""What a recipe and a published solution are.

A recipe is a frozen dataclass of values, without logic. A published solution narrows the types of
its fields to its own pipelines and network, so that it reads like its write-up, every number is a
typed flag (`--augment.rotate.degrees 30`), and config.json rebuilds it anywhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    Optimiser,
    Role,
    Schedule,
)
from src.transforms.mix import ManifoldMixup
from src.transforms.pipeline import AugmentationPipeline, ClipPipeline
from src.transforms.steps.frames import select


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One network and everything that makes it.

    Args:
        name: of its folder in a run.
        layout: the points that it reads.
        clip: deterministic steps on one clip; they are exported.
        augment: random operations on a batch.
        features: (xyz, mask, layout) -> what the network reads; they are exported.
        model: the student network's sizes.
        max_len: frames of the longest clip that the network takes.
        loss: (the network's outputs, soft targets, training progress) -> scalar.
        mix: mixup, of whatever kind the recipe declares; None = clips are not mixed.
        optimiser: with its peak learning rate.
        schedule: the learning rate over the training.
        epochs: how many.
        steps: in an epoch, on clips drawn with replacement; 0 = an epoch takes each clip once.
        batch_size: clips in a step, over all processes.
        clip_norm: largest norm of each trained model's gradient; 0 = no clipping.
        mean_teacher: a teacher that follows the student; None = no teacher.
        distilled: sizes of a smaller network that learns from the teacher in the same loop.
        ema: an average of the student's weights; None = no average.
        distil: a finished training to learn from.
        start: the recipe of the same run whose weights to start from, where names and shapes
            agree; "" = start from random weights.
        awp: adversarial weight perturbation; None = none.
        stop: early stopping; None = train for all epochs.
        soup_epochs: the soup is the mean over this many last epochs; 0 = no soup.
        shipped: the role whose weights are exported.
        ships: False for a stage that only teaches another, or gives it weights to start from.
        seed: added to the run's seed; ensemble members may differ in nothing else.
    """

    name: str
    layout: Layout
    clip: ClipPipeline
    augment: AugmentationPipeline
    features: Callable[..., Tensor]
    model: NetworkConfig
    max_len: int
    loss: Callable[..., Tensor]
    mix: ManifoldMixup | None = None
    optimiser: Optimiser
    schedule: Schedule
    epochs: int
    steps: int = 0
    batch_size: int
    clip_norm: float = 0.0
    mean_teacher: MeanTeacher | None = None
    distilled: NetworkConfig | None = None
    ema: Ema | None = None
    distil: Distil = Distil()
    start: str = ""
    awp: Awp | None = None
    stop: EarlyStopping | None = None
    soup_epochs: int = 0
    shipped: Role = "student"
    ships: bool = True
    seed: int = 0

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
        """All that the answer of `read` depends on: points, values of the steps, their code."""
        code = [inspect.getsource(type(step)) for step in self.clip]
        return repr((self.layout.points, self.clip, inspect.getsource(select), code))

    def config_of(self, role: Role) -> NetworkConfig:
        """The sizes of the network in a role; soup and best are made of the most derived one."""
        derived = role == "distilled" or (role in ("soup", "best") and self.ema is None)
        return self.distilled if derived and self.distilled else self.model


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A published solution: what its authors report, and its recipes in three sizes.

    The recipes of each size are in the order in which they are trained and blended.

    Args:
        source: place, people, code and its licence.
        score: accuracy that the authors report, on the competition's test sets or by
            cross-validation (CV); on other data than any result of a run here.
        cost: of their training.
        full: as published.
        cpu: for some hundred clips and two CPU cores.
        sample: for the synthetic sample.
    """

    source: str
    score: str
    cost: str
    full: tuple[Recipe, ...]
    cpu: tuple[Recipe, ...]
    sample: tuple[Recipe, ...]

    def recipes(self, profile: str) -> tuple[Recipe, ...]:
        """The recipes of a profile: full, cpu or sample."""
        return {"full": self.full, "cpu": self.cpu, "sample": self.sample}[profile]

    @property
    def all_recipes(self) -> tuple[Recipe, ...]:
        """The recipes of all sizes."""
        return self.full + self.cpu + self.sample
