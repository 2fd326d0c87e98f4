"""Normalising against numpy, step by step; and what cannot be measured."""

from itertools import product

import numpy as np
import pytest
import torch

from src.landmarks import CHEEKS, LEFT_SHOULDER, RIGHT_SHOULDER, Layout
from src.transforms.steps import normalise as steps
from tests.transforms.conftest import bits

HEAD, HANDS = ("lips", "means"), ("left_hand", "right_hand")
SHOULDERS = (LEFT_SHOULDER, RIGHT_SHOULDER)


def clip(layout: Layout, n_frames: int) -> np.ndarray:
    """(T, L, 3) image units; points, one z, and in some frames a whole hand are missing."""
    rng = np.random.default_rng(n_frames)
    xyz = rng.normal((0.5, 0.6, -0.2), (0.2, 0.3, 0.1), (n_frames, len(layout), 3))
    xyz[rng.random(xyz.shape[:2]) < 0.02] = np.nan
    xyz[np.ix_(rng.random(n_frames) < 0.3, layout.rows("left_hand"))] = np.nan
    xyz[0, layout.rows("lips")[3], 2] = np.nan
    return xyz.astype(np.float32)


def standardised(xyz: np.ndarray, layout: Layout) -> np.ndarray:
    """recognition.md 3.2.3: one mean and one population std for x, y and z each."""
    return (xyz - np.nanmean(xyz, (0, 1))) / np.nanstd(xyz, (0, 1))


def centred(xyz: np.ndarray, layout: Layout) -> np.ndarray:
    """recognition.md 2.2: one vector per clip; a point with any NaN does not count."""
    head = xyz[:, list(layout.rows(*HEAD))].reshape(-1, 3)
    return xyz - head[~np.isnan(head).any(1)].mean(0)


def from_shoulders(xyz: np.ndarray, layout: Layout) -> np.ndarray:
    left, right = (xyz[:, layout.row(shoulder)] for shoulder in SHOULDERS)
    middle = np.nanmean(left + right, 0) / 2
    width = np.nanmean(np.linalg.norm((left - right)[:, :2], axis=-1))
    return 2.0 * (xyz - middle * [1, 1, 0]) / width


def from_cheek(xyz: np.ndarray, layout: Layout) -> np.ndarray:
    counted = from_shoulders(xyz, layout)
    return counted - np.nanmean(counted[:, layout.row(CHEEKS[0])], 0) * [1, 1, 0]


def enlarged(xyz: np.ndarray, layout: Layout) -> np.ndarray:
    for frame, hand in product(xyz, HANDS):
        rows = list(layout.rows(hand))
        if not np.isnan(frame[rows]).any():
            centre = frame[rows].mean(0)
            frame[rows] = centre + 3 * (frame[rows] - centre)
    return xyz


def with_mirrored_hands(xyz: np.ndarray, layout: Layout) -> np.ndarray:
    hands = list(layout.rows(*HANDS))
    xyz[:, hands, 0] = 1 - xyz[:, hands, 0]
    return xyz


STEPS = {
    steps.Standardise(): standardised,
    steps.CentreOn(HEAD): centred,
    steps.FromShoulders(width=2.0): from_shoulders,
    steps.FromShoulders(width=2.0, origin=CHEEKS[0]): from_cheek,
    steps.IntoImage(): lambda xyz, layout: xyz + np.array([0.5, 0.5, 0.0]),
    steps.Enlarge(HANDS, 3.0): enlarged,
    steps.MirrorHands(): with_mirrored_hands,
}


@pytest.mark.parametrize("n_frames", [1, 2, 17, 300])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_a_step_is_what_numpy_makes_of_the_clip(layout, step, n_frames):
    xyz = clip(layout, n_frames)
    ours = step(torch.from_numpy(xyz), layout).numpy()
    expected = STEPS[step](xyz.astype(np.float64), layout)
    # EPS shifts a quotient by 1e-6 / 0.1; the rest is float32.
    np.testing.assert_allclose(ours, expected, rtol=3e-5, atol=3e-5)


def test_standardising_nothing_or_one_point_gives_no_large_number(layout):
    """The deviation is 0: EPS keeps rounding errors of the mean from becoming large numbers."""
    xyz = torch.full((1, len(layout), 3), torch.nan)
    assert steps.Standardise()(xyz, layout).isnan().all()
    xyz[0, 5] = torch.tensor([0.31, 0.57, -0.13])
    assert steps.Standardise()(xyz, layout)[0, 5].tolist() == [0, 0, 0]
    assert 0 < steps.EPS < 1e-4


@pytest.mark.parametrize(
    ("step", "instead"),
    [
        (steps.CentreOn(HEAD), lambda xyz, layout: xyz),
        (steps.FromShoulders(1.5, origin=CHEEKS[0]), steps.FromShoulders(1.5)),
        (steps.FromShoulders(1.5), steps.Standardise()),
    ],
)
def test_a_clip_that_never_shows_what_it_would_be_counted_from(layout, step, instead):
    """Both shoulders are never shown if each is in other frames."""
    xyz = torch.from_numpy(clip(layout, 4))
    if step == steps.FromShoulders(1.5):
        left, right = (layout.row(shoulder) for shoulder in SHOULDERS)
        xyz[:2, left], xyz[2:, right] = torch.nan, torch.nan
    else:
        xyz[:, [*layout.rows(*HEAD), layout.row(CHEEKS[0])]] = torch.nan
    assert torch.equal(bits(step(xyz, layout)), bits(instead(xyz, layout)))


def test_shoulders_in_one_point_are_no_shoulders(layout):
    """Where 0 was written for what is missing, hands would be hundred thousands of widths away."""
    xyz, step = torch.from_numpy(clip(layout, 4)), steps.FromShoulders(1.5)
    left, right = (layout.row(shoulder) for shoulder in SHOULDERS)
    xyz[:, [left, right]] = 0.0
    assert torch.equal(bits(step(xyz, layout)), bits(steps.Standardise()(xyz, layout)))
    # In one frame only, that frame says nothing of the distance.
    good = torch.from_numpy(clip(layout, 4))
    bad = good.clone()
    bad[0, left] = bad[0, right]
    hidden = good.clone()
    hidden[0, [left, right]] = torch.nan
    assert torch.equal(bits(step(bad, layout)[1:]), bits(step(hidden, layout)[1:]))
