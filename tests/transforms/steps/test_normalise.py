"""Normalising against numpy's nanmean and nanstd."""

import numpy as np
import pytest
import torch

from src.landmarks import LEFT_SHOULDER, RIGHT_SHOULDER
from src.transforms.steps.normalise import (
    EPS,
    CentreOn,
    Enlarge,
    FromShoulders,
    IntoImage,
    MirrorHands,
    Standardise,
)


@pytest.mark.parametrize("n_frames", [1, 2, 17, 300])
def test_standardise_is_numpys_nanmean_and_nanstd(layout, n_frames):
    """recognition.md 3.2.3: one mean and one population std for x, y and z each."""
    rng = np.random.default_rng(n_frames)
    xyz = rng.normal((0.5, 0.6, -0.2), (0.2, 0.3, 0.1), (n_frames, len(layout), 3))
    xyz[rng.random((n_frames, len(layout))) < 0.3] = np.nan
    mean, std = np.nanmean(xyz, (0, 1)), np.nanstd(xyz, (0, 1))
    ours = Standardise()(torch.from_numpy(xyz.astype(np.float32)), layout).numpy()
    # EPS shifts the quotient by 1e-6 / 0.1; the rest is float32.
    np.testing.assert_allclose(ours, (xyz - mean) / std, rtol=3e-5, atol=3e-5)


def test_a_clip_without_any_point_stays_as_it_is(layout):
    xyz = torch.full((4, len(layout), 3), torch.nan)
    assert Standardise()(xyz, layout).isnan().all()


def test_a_clip_of_one_point_is_finite_and_at_the_origin(layout):
    """The deviation is 0: EPS keeps rounding errors of the mean from becoming large numbers."""
    xyz = torch.full((1, len(layout), 3), torch.nan)
    xyz[0, 5] = torch.tensor([0.31, 0.57, -0.13])
    ours = Standardise()(xyz, layout)[0, 5]
    assert ours.tolist() == [0, 0, 0]
    assert 0 < EPS < 1e-4


# --- CentreOn -----------------------------------------------------------------------------------

HEAD = ("lips", "means")


@pytest.mark.parametrize("n_frames", [1, 17])
def test_centring_subtracts_numpys_mean_of_the_parts_over_all_frames(layout, n_frames):
    """recognition.md 2.2: one vector per clip; a point with any NaN does not count."""
    rng = np.random.default_rng(n_frames)
    xyz = rng.normal((0.5, 0.6, -0.2), 0.2, (n_frames, len(layout), 3)).astype(np.float32)
    xyz[rng.random((n_frames, len(layout))) < 0.3] = np.nan
    xyz[0, layout.rows("lips")[3], 2] = np.nan
    head = xyz[:, list(layout.rows(*HEAD))].reshape(-1, 3).astype(np.float64)
    expected = xyz - head[~np.isnan(head).any(1)].mean(0)
    ours = CentreOn(HEAD)(torch.from_numpy(xyz), layout).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)  # float32 sums of some hundred numbers


def test_a_clip_without_the_parts_stays_where_it_is(layout):
    xyz = torch.rand(5, len(layout), 3, generator=torch.Generator().manual_seed(0))
    xyz[:, list(layout.rows(*HEAD))] = torch.nan
    ours = CentreOn(HEAD)(xyz, layout)
    assert torch.equal(ours.nan_to_num(), xyz.nan_to_num())
    assert torch.equal(ours.isnan(), xyz.isnan())


def test_mirrored_hands_are_one_minus_x_and_nothing_else_moves(clips, layout):
    xyz = clips.xyz[8, clips.mask[8]]  # parts are missing now and then
    out = MirrorHands()(xyz, layout)
    hands = list(layout.rows("left_hand", "right_hand"))
    others = [row for row in range(len(layout)) if row not in hands]
    torch.testing.assert_close(out[:, hands, 0], 1 - xyz[:, hands, 0], equal_nan=True)
    torch.testing.assert_close(out[..., 1:], xyz[..., 1:], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(out[:, others], xyz[:, others], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(MirrorHands()(out, layout), xyz, equal_nan=True)


def test_a_hand_is_enlarged_about_its_own_mean_in_every_frame(layout):
    xyz = np.random.default_rng(0).normal(size=(7, len(layout), 3)).astype(np.float32)
    ours = Enlarge(("right_hand",), 3.0)(torch.from_numpy(xyz), layout).numpy()
    hand, expected = list(layout.rows("right_hand")), xyz.copy()
    for frame in expected:
        centre = frame[hand].mean(0)
        frame[hand] = centre + 3 * (frame[hand] - centre)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
    others = [row for row in range(len(layout)) if row not in hand]
    np.testing.assert_array_equal(ours[:, others], xyz[:, others])


def test_a_part_with_a_missing_point_stays_as_it_is(layout):
    xyz = torch.rand(4, len(layout), 3, generator=torch.Generator().manual_seed(0))
    left, right = (torch.tensor(layout.rows(hand)) for hand in ("left_hand", "right_hand"))
    xyz[1, left[3]] = torch.nan  # one point
    xyz[2, right] = torch.nan  # a whole hand
    ours = Enlarge(("left_hand", "right_hand"), 2.0)(xyz, layout)
    torch.testing.assert_close(ours[1, left], xyz[1, left], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(ours.isnan(), xyz.isnan())
    assert not torch.equal(ours[1, right], xyz[1, right])


def shoulders(layout) -> tuple[int, int]:
    return layout.row(LEFT_SHOULDER), layout.row(RIGHT_SHOULDER)


def test_the_shoulders_frame_is_numpys(layout):
    rng = np.random.default_rng(0)
    xyz = rng.normal((0.5, 0.6, -0.2), (0.2, 0.3, 0.1), (9, len(layout), 3)).astype(np.float32)
    left, right = shoulders(layout)
    xyz[2, left], xyz[5, right] = np.nan, np.nan
    seen = [0, 1, 3, 4, 6, 7, 8]
    middle = (xyz[seen, left, :2] + xyz[seen, right, :2]).mean(0) / 2
    width = np.linalg.norm(xyz[seen, left, :2] - xyz[seen, right, :2], axis=-1).mean()
    expected = 2.0 * (xyz - [*middle, 0.0]) / width
    ours = FromShoulders(width=2.0)(torch.from_numpy(xyz), layout).numpy()
    np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=2e-5)


def test_the_middle_of_the_shoulders_comes_into_the_middle_of_the_image(layout):
    xyz = torch.rand(9, len(layout), 3, generator=torch.Generator().manual_seed(0))
    xyz[3, 0] = torch.nan
    counted = FromShoulders(0.3)(xyz, layout)
    placed = IntoImage()(counted, layout)
    left, right = shoulders(layout)
    middle = (placed[:, left] + placed[:, right]).mean(0) / 2
    torch.testing.assert_close(middle[:2], torch.tensor([0.5, 0.5]))
    assert torch.equal(placed[..., 2].nan_to_num(9.0), counted[..., 2].nan_to_num(9.0))
    assert torch.equal(placed.isnan(), xyz.isnan())


def test_a_clip_that_never_shows_both_shoulders_is_standardised(layout):
    xyz = torch.rand(4, len(layout), 3, generator=torch.Generator().manual_seed(0))
    left, right = shoulders(layout)
    xyz[:2, left], xyz[2:, right] = torch.nan, torch.nan
    torch.testing.assert_close(
        FromShoulders(1.5)(xyz, layout), Standardise()(xyz, layout), rtol=0, atol=0, equal_nan=True
    )
