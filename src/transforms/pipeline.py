"""Pipelines: dataclasses whose fields are operations, applied in the order they are written.

- A clip step is a function of one clip, (T, L, 3) -> (T', L, 3). It runs once per clip, before
  training, and is exported. Steps are frozen dataclasses, so they can be compared: members of an
  ensemble that begin with equal steps share the beginning of their graphs.
- An augmentation is a function of a padded batch. It runs in every epoch, on the device, with an
  explicit generator.
- A field that is None is left out.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout


def index(rows: tuple[int, ...], device: torch.device) -> Int[Tensor, " n"]:
    """The rows as a tensor on the device, made only once, so a training step copies nothing."""
    if torch.compiler.is_exporting():  # a tensor that belongs to a trace must not be cached
        return torch.tensor(rows, device=device)
    return _cached_index(rows, device)


@cache
def _cached_index(rows: tuple[int, ...], device: torch.device) -> Int[Tensor, " n"]:
    return torch.tensor(rows, device=device)


def within(
    start: Int[Tensor, " B"], length: Int[Tensor, " B"], n_frames: int
) -> Bool[Tensor, "B T"]:
    """True in each clip's window of `length` frames from `start` on."""
    t = torch.arange(n_frames, device=start.device)
    return (t >= start[:, None]) & (t < (start + length)[:, None])


@dataclass(frozen=True)
class Draw:
    """The randomness of one training step, and other facts that augmentations need.

    Args:
        generator: draws the values that differ between clips, on the batch's device.
        host: draws the values for a whole batch, without waiting for the device.
        progress: share of the training that is done, 0 to 1.
        donor: a second batch, whose k-th clip has the same sign as the first batch's, by another
            signer; it may be padded to another number of frames.
    """

    generator: torch.Generator
    host: random.Random
    progress: float = 0.0
    donor: Clips | None = None

    def coin(self, p: float) -> bool:
        """True with probability p, for the whole batch."""
        return self.host.random() < p

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw a tensor of this shape from U(low, high)."""
        u = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return low + (high - low) * u

    def normal(self, *shape: int) -> Tensor:
        """Draw a tensor of this shape from N(0, 1)."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def chance(self, p: float, *shape: int) -> Bool[Tensor, "..."]:
        """Draw a tensor of this shape, each entry True with probability p."""
        return self.uniform(*shape) < p

    def integers(self, below: Tensor) -> Tensor:
        """Draw an integer from 0 to `below` - 1 per entry; 0 where `below` is not positive."""
        # u is at most 1 - 2^-24, and u * below is rounded to less than `below`.
        return (self.uniform(*below.shape) * below.clamp(min=1)).long()

    def permutation(self, n: int) -> Tensor:
        """Draw a random order of 0 to n - 1."""
        return torch.randperm(n, generator=self.generator, device=self.generator.device)

    def beta(self, alpha: float, n: int) -> Float[Tensor, " n"]:
        """Draw n numbers from Beta(alpha, alpha)."""
        return self.dirichlet(alpha, n, 2)[:, 0]

    def dirichlet(self, alpha: float, n: int, k: int) -> Float[Tensor, "n k"]:
        """Draw n times k shares that add up to 1, from the symmetric Dirichlet distribution."""
        # torch.distributions takes no generator; the gamma sampler that it calls does.
        shape = torch.full((k, n), alpha, device=self.generator.device)
        gamma = torch._standard_gamma(shape, generator=self.generator)
        return (gamma / gamma.sum(0)).T


@dataclass(frozen=True)
class Pipeline:
    """Base of pipelines: iterates over the operations that are not None."""

    def __iter__(self) -> Iterator:
        operations = (getattr(self, field.name) for field in fields(self))
        return (operation for operation in operations if operation is not None)


@dataclass(frozen=True)
class BoundStep:
    """A step together with its layout; two are equal if steps and layouts are."""

    step: Callable[[Tensor, Layout], Tensor]
    layout: Layout

    def __call__(self, xyz: Float[Tensor, "T L 3"]) -> Float[Tensor, "T2 L 3"]:
        return self.step(xyz, self.layout)


@dataclass(frozen=True)
class ClipPipeline(Pipeline):
    """Steps applied to one clip, in order."""

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T2 L 3"]:
        for step in self:
            xyz = step(xyz, layout)
        return xyz

    def bound(self, layout: Layout) -> tuple[BoundStep, ...]:
        """The steps as functions of the clip alone, for export."""
        return tuple(BoundStep(step, layout) for step in self)


@dataclass(frozen=True)
class AugmentationPipeline(Pipeline):
    """Augmentations applied to a batch, in order."""

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        for augmentation in self:
            clips = augmentation(clips, layout, draw)
        return clips

    @property
    def needs_donor(self) -> bool:
        """True if any augmentation, alone or in a group, needs `Draw.donor`."""
        return any(getattr(augmentation, "needs_donor", False) for augmentation in self)
