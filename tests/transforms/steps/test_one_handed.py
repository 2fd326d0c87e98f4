"""Every signer becomes right-handed, and a right-handed one stays as he is."""

import numpy as np
import pytest
import torch

from src.recipes import SOLUTIONS
from src.transforms.steps.one_handed import OneHanded

LAYOUTS = {name: solution.cpu[-1].layout for name, solution in SOLUTIONS.items()}


def clip(layout, signing: str, seen: float = 0.9, other: float = 0.3) -> torch.Tensor:
    """One hand is seen in most frames and high, the other now and then and low."""
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0.3, 0.7, (20, len(layout), 3)).astype(np.float32)
    resting = "left" if signing == "right" else "right"
    for side, share, y in ((resting, other, 0.3), (signing, seen, -0.2)):
        rows = list(layout.rows(f"{side}_hand"))
        xyz[:, rows, 1] += y
        xyz[np.ix_(rng.random(20) > share, rows)] = np.nan
    return torch.from_numpy(xyz)


def mirrored(xyz: torch.Tensor, layout) -> torch.Tensor:
    """By hand: the other point of each pair, seen in a mirror."""
    out = xyz[:, list(layout.mirror)].clone()
    out[..., 0] = 1 - out[..., 0]
    return out


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_left_handed_clip_is_mirrored_and_a_right_handed_one_is_not(layout):
    right, left = clip(layout, "right"), clip(layout, "left")
    torch.testing.assert_close(OneHanded()(right, layout), right, rtol=0, atol=0, equal_nan=True)
    turned = OneHanded()(left, layout)
    torch.testing.assert_close(turned, mirrored(left, layout), equal_nan=True)
    # A clip and its mirror image become the same clip; and what is turned stays as it is.
    both = [OneHanded()(x, layout) for x in (right, mirrored(right, layout))]
    torch.testing.assert_close(*both, equal_nan=True)
    torch.testing.assert_close(OneHanded()(turned, layout), turned, equal_nan=True)


def test_the_higher_of_two_hands_that_are_seen_equally_long_signs():
    layout = LAYOUTS["hierarchical"]
    for signing in ("left", "right"):
        xyz = clip(layout, signing, seen=1.0, other=1.0)
        changed = not torch.equal(OneHanded()(xyz, layout), xyz)
        assert changed == (signing == "left")


def test_without_hands_nothing_changes():
    layout = LAYOUTS["llama"]
    xyz = clip(layout, "left", seen=0.0, other=0.0)
    torch.testing.assert_close(OneHanded()(xyz, layout), xyz, rtol=0, atol=0, equal_nan=True)
