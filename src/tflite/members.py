"""The members of an ensemble as they are exported, and their answers to a raw clip in torch.

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
    """The first step of every member: pick its points from the raw frames.

    Coordinates that a store refuses (infinity, or numbers beyond float16) count as not detected,
    because they would turn the whole answer into NaN.
    """

    sources: tuple[tuple[int, ...], ...]

    def __call__(self, frames: RawClip) -> Float[Tensor, "T L 3"]:
        xyz = select(frames, self.sources)
        return torch.where(xyz.abs() <= LARGEST, xyz, torch.nan)


@dataclass(frozen=True)
class Member:
    """One network of the ensemble and the steps that a clip goes through before it.

    Args:
        sources: for each point, the landmarks that are averaged, as in `Layout.points`.
        steps: (T, L, 3) -> (T', L, 3) float32, NaN = not detected; frozen dataclasses, so members
            whose first steps are equal can share them.
        core: (1, T', L, 3) -> (1, K) logits, T' >= 1, in eval mode. If the steps leave more
            than max_len frames, it reads the first max_len. For the onnx2tf route it also
            takes a mask of a padded clip's real frames: `core(xyz, mask)`, mask (1, T').
        weight: share in the ensemble, relative to the other members' weights.
    """

    name: str
    sources: tuple[tuple[int, ...], ...]
    steps: tuple[Step, ...]
    core: nn.Module
    max_len: int
    weight: float = 1.0

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """All steps from raw frames to the network's input."""
        return (ChoosePoints(self.sources), *self.steps)

    @property
    def parameters(self) -> int:
        """How many weights the network has."""
        return sum(p.numel() for p in self.core.parameters())


class RecipeCore(nn.Module):
    """A recipe's features and network as one module, its logits divided by the temperature."""

    def __init__(self, recipe: Recipe, network: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.recipe, self.network, self.temperature = recipe, network, temperature

    def forward(
        self, xyz: Float[Tensor, "1 T L 3"], mask: Bool[Tensor, "1 T"] | None = None
    ) -> Float[Tensor, "1 K"]:
        """Classify one clip of normalised landmarks; mask: True = real frame, default all."""
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
    """The input of a member's network: the clip after all of the member's steps.

    A clip without frames counts as one frame in which nothing was detected.
    """
    xyz = torch.as_tensor(frames if len(frames) else undetected(1))
    for step in member.all_steps:
        xyz = step(xyz)
    return xyz


def blended(
    members: Sequence[Member], logits: Sequence[Float[Tensor, "K"]], pool: Pool = "probabilities"
) -> Float[Tensor, "K"]:
    """The ensemble's probabilities: the weighted mean of its members' probabilities or logits."""
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
