"""What the cpu profiles have in common: small collections of clips show the face now and then."""

import pytest
import torch

from src import landmarks as lm
from src.recipes import SOLUTIONS
from src.recipes.profiles import PROFILES


def moved(frames: torch.Tensor, points: tuple[int, ...]) -> torch.Tensor:
    """The frames with these points elsewhere."""
    other = frames.clone()
    other[:, points] += 0.1 * torch.rand(len(points), 3)
    return other


def seen(recipe, frames: torch.Tensor) -> torch.Tensor:
    """What the network is given of a clip."""
    clip = recipe.read(frames, range(lm.N_LANDMARKS))[None]
    return recipe.features(clip, torch.ones(clip.shape[:2], dtype=torch.bool), recipe.layout)


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(12, lm.N_LANDMARKS, 3)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("solution", SOLUTIONS)
def test_all_see_the_hands_and_all_but_the_cpu_profile_their_face(solution, profile, frames):
    for recipe in SOLUTIONS[solution].recipes(profile):
        expected = seen(recipe, frames)
        blind = torch.equal(seen(recipe, moved(frames, lm.FACE)), expected)
        assert blind == (profile == "cpu" or {*lm.FACE}.isdisjoint(recipe.layout.sources))
        assert not torch.equal(seen(recipe, moved(frames, lm.LEFT_HAND + lm.RIGHT_HAND)), expected)
