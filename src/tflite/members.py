"""What is exported, members of an ensemble, and what they answer to a raw clip by torch alone.

Letters: **T** frames, **L** points, **K** signs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from src.clips import RawClip
from src.dataset.clip_file import LARGEST
from src.landmarks import undetected
from src.recipes.base import Pool, Recipe
from src.transforms.steps.frames import select

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ChoosePoints:
    """The first step of every member: its points out of raw frames.

    A coordinate that a store refuses is not detected: infinity, or a number beyond float16, would
    turn the whole answer into NaN.
    """

    sources: tuple[tuple[int, ...], ...]

    def __call__(self, frames: RawClip) -> Float[Tensor, "T L 3"]:
        xyz = select(frames, self.sources)
        return torch.where(xyz.abs() <= LARGEST, xyz, torch.nan)


@dataclass(frozen=True)
class Member:
    """One network of the ensemble and the steps that a clip goes through before it.

    Args:
        sources: for each point the landmarks that are averaged, as in `Layout.points`.
        steps: (T, L, 3) -> (T', L, 3) float32, NaN = not detected; frozen dataclasses, so that
            members that begin alike share the beginning.
        core: (1, T', L, 3) -> (1, K) logits, T' >= 1, in eval mode. If the steps leave more
            than max_len frames, it reads the first max_len. For the onnx2tf route it also
            takes the real frames of a padded clip, `core(xyz, mask)`, mask (1, T').
        weight: share in the ensemble, relative to the others.
    """

    name: str
    sources: tuple[tuple[int, ...], ...]
    steps: tuple[Step, ...]
    core: nn.Module
    max_len: int
    weight: float = 1.0

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """From raw frames to the input of the network."""
        return (ChoosePoints(self.sources), *self.steps)

    @property
    def parameters(self) -> int:
        """How many weights the network has."""
        return sum(p.numel() for p in self.core.parameters())


class RecipeCore(nn.Module):
    """A recipe's features and network as one module: normalised landmarks in, logits out.

    The logits are divided by the temperature.
    """

    def __init__(self, recipe: Recipe, network: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.recipe, self.network, self.temperature = recipe, network, temperature

    def forward(
        self, xyz: Float[Tensor, "1 T L 3"], mask: Bool[Tensor, "1 T"] | None = None
    ) -> Float[Tensor, "1 K"]:
        """Classify one clip; mask: True = a real frame, default all."""
        features = self.recipe.features(xyz, mask, self.recipe.layout)
        logits = self.network(features, mask)["logits"]
        return logits if self.temperature == 1 else logits / self.temperature


def member_of(
    recipe: Recipe, network: nn.Module, weight: float = 1.0, temperature: float = 1.0
) -> Member:
    """A trained recipe as a member of an ensemble."""
    steps = recipe.clip.bound(recipe.layout)
    core = RecipeCore(recipe, network, temperature).eval()
    return Member(recipe.name, recipe.layout.points, steps, core, recipe.max_len, weight)


def shares(members: Sequence[Member]) -> list[float]:
    """The members' weights, adding up to 1."""
    total = sum(member.weight for member in members)
    return [member.weight / total for member in members]


def prepare(member: Member, frames: RawClip) -> Float[Tensor, "T L 3"]:
    """The input of a member's network: the clip's points after its steps.

    A clip without frames counts as one frame in which nothing was detected.
    """
    xyz = torch.as_tensor(frames if len(frames) else undetected(1))
    for step in member.all_steps:
        xyz = step(xyz)
    return xyz


def blended(
    members: Sequence[Member], logits: Sequence[Float[Tensor, "K"]], pool: Pool = "probabilities"
) -> Float[Tensor, "K"]:
    """The ensemble's probabilities: the weighted mean of the members', or of their logits."""
    answers = logits if pool == "logits" else [x.softmax(-1) for x in logits]
    mean = sum(w * x for w, x in zip(shares(members), answers, strict=True))
    return mean.softmax(-1) if pool == "logits" else mean


@torch.no_grad()
def answer(
    members: Sequence[Member], frames: RawClip, pool: Pool = "probabilities"
) -> Float[Tensor, "K"]:
    """The ensemble's probabilities for a raw clip, by torch alone: the top of the parity ladder."""
    logits = [member.core(prepare(member, frames)[None])[0] for member in members]
    return blended(members, logits, pool)
