"""972 features against numbers made one by one, as recognition.md 1.2 to 1.3 says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from src.landmarks import LIPS_40_BY_SIDE, MIRROR, RIGHT_HAND
from src.recipes.hand_bert import LAYOUT
from src.transforms.augment.space import mirrored
from src.transforms.features.hand_bert import (
    FINGER_ANGLES,
    LIP_ANGLES,
    HandBertFeatures,
    one_hand,
    standardised,
)

LIPS, HAND = 40, 21
LEFT, RIGHT = list(LAYOUT.rows("left_hand")), list(LAYOUT.rows("right_hand"))
# In this order and of these sizes: recognition.md 1.3.
SIZES = {
    "position": 183,
    "history": 183,
    "future": 183,
    "lip distances": 190,
    "hand distances": 210,
    "lip angles": 8,
    "hand angles": 15,
}
FEATURES = HandBertFeatures()


def blocks(features: torch.Tensor) -> dict[str, np.ndarray]:
    return dict(zip(SIZES, (x.numpy() for x in features.split([*SIZES.values()], -1)), strict=True))


def clip(n_frames: int, seed: int = 0) -> np.ndarray:
    """(T, 82, 3) image units; the left hand is seen more often, the lips not in every frame."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(0.1, 0.9, (n_frames, len(LAYOUT), 3)).astype(np.float32)
    for part, share in (("left_hand", 0.2), ("right_hand", 0.6), ("lips", 0.2)):
        xyz[np.ix_(rng.random(n_frames) < share, LAYOUT.rows(part))] = np.nan
    return xyz


def made(xyz: np.ndarray, features: HandBertFeatures = FEATURES) -> dict[str, np.ndarray]:
    return blocks(features(torch.from_numpy(xyz)[None], None, LAYOUT)[0])


def or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


# --- every block --------------------------------------------------------------------------------


def test_there_are_972_in_the_documents_order():
    features = FEATURES(torch.from_numpy(clip(9))[None], None, LAYOUT)
    assert features.shape == (1, 9, 972) and sum(SIZES.values()) == 972


def test_positions_and_motions_are_of_one_mean_and_deviation():
    xyz = clip(12)
    chosen = xyz[:, [*range(LIPS), *LEFT]].astype(np.float64)
    known = chosen[~np.isnan(chosen)]
    position = ((chosen - known.mean()) / known.std(ddof=1)).reshape(12, -1)
    zero = np.zeros((1, 183))
    history = np.concatenate([zero, position[1:] - position[:-1]])
    future = np.concatenate([position[1:] - position[:-1], zero])
    out = made(xyz)
    # Float32 sums of some 2,000 numbers, against float64.
    for name, expected in (("position", position), ("history", history), ("future", future)):
        np.testing.assert_allclose(out[name], np.nan_to_num(expected), atol=2e-5, err_msg=name)
    assert (out["history"][1:] != 0).any() and np.isnan(chosen).any()


def test_distances_are_of_pairs_of_raw_points_in_the_image_plane():
    xyz = clip(6)
    out = made(xyz)
    pairs = [(i, j) for i in range(HAND) for j in range(i + 1, HAND)]
    lip_pairs = [(i, j) for i, j in pairs if j < 20]  # of the first twenty points
    for t in range(6):
        hand = [or_zero(math.dist(*(xyz[t, LEFT[k], :2] for k in pair))) for pair in pairs]
        lips = [or_zero(math.dist(*(xyz[t, k, :2] for k in pair))) for pair in lip_pairs]
        np.testing.assert_allclose(out["hand distances"][t], hand, rtol=1e-5)
        np.testing.assert_allclose(out["lip distances"][t], lips, rtol=1e-5)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return or_zero(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def test_finger_angles_are_of_two_bones_in_space():
    """thumb = 0-1-2-3-4: cos_sim(0-1, 1-2), cos_sim(1-2, 2-3), cos_sim(2-3, 3-4)."""
    xyz = clip(6)
    out = made(xyz)["hand angles"]
    for t in range(6):
        hand = xyz[t, LEFT].astype(np.float64)
        fingers = [[0, *range(k, k + 4)] for k in (1, 5, 9, 13, 17)]
        expected = [
            cosine(hand[b] - hand[a], hand[c] - hand[b])
            for f in fingers
            for a, b, c in zip(f, f[1:], f[2:], strict=False)
        ]
        np.testing.assert_allclose(out[t], expected, atol=1e-5)
    assert len(FINGER_ANGLES) == 15


# recognition.md 1.3: the triples of the authors' table within the forty points.
PUBLISHED = "0,9,24 9,24,6 24,6,0 6,0,9 26,34,25 34,25,37 25,37,26 37,26,34"
MEANT = "0,61,17 61,17,291 17,291,0 291,0,61 13,78,14 78,14,308 14,308,13 308,13,78"


def triples(text: str) -> list[tuple[int, ...]]:
    return [tuple(int(k) for k in triple.split(",")) for triple in text.split()]


def test_lip_angles_are_those_of_the_authors_table_or_the_ones_they_meant():
    assert list(LIP_ANGLES["published"]) == triples(PUBLISHED)
    meant = [tuple(LIPS_40_BY_SIDE.index(k) for k in triple) for triple in triples(MEANT)]
    assert list(LIP_ANGLES["meant"]) == meant
    xyz = clip(6)
    for name, table in (("published", triples(PUBLISHED)), ("meant", meant)):
        out = made(xyz, HandBertFeatures(lip_angles=name))["lip angles"]
        for t in range(6):
            lips = xyz[t, :LIPS].astype(np.float64)
            expected = [cosine(lips[a] - lips[b], lips[c] - lips[b]) for a, b, c in table]
            np.testing.assert_allclose(out[t], expected, atol=1e-5)


def test_the_authors_variants_differ_in_sign_and_order_alone():
    document, code = (
        made(clip(9), f) for f in (FEATURES, HandBertFeatures(0.5, "published", True))
    )
    np.testing.assert_array_equal(code["hand angles"], -document["hand angles"])
    document, code = (made(clip(9), f) for f in (FEATURES, replace(FEATURES, future_first=True)))
    np.testing.assert_array_equal(code["history"], -document["future"])
    np.testing.assert_array_equal(code["future"], document["history"])


# --- the hand -----------------------------------------------------------------------------------


def hand_of(xyz: np.ndarray, mirror_x: float | None = 0.5) -> np.ndarray:
    return one_hand(torch.from_numpy(xyz)[None], LAYOUT, mirror_x)[0].numpy()


def test_the_hand_that_misses_fewer_numbers_is_read():
    xyz = np.random.default_rng(0).uniform(size=(5, len(LAYOUT), 3)).astype(np.float32)
    xyz[:2, RIGHT] = np.nan
    xyz[0, LEFT] = np.nan
    np.testing.assert_array_equal(hand_of(xyz), xyz[:, LEFT])
    assert np.isnan(hand_of(xyz)[0]).all()  # in every frame it is the same hand


@pytest.mark.parametrize("lost", [(), (3,)])
def test_a_right_hand_is_mirrored_about_the_upper_lip_of_its_frame(lost):
    """Also where both are seen equally often: left only with strictly fewer."""
    xyz = np.random.default_rng(0).uniform(size=(5, len(LAYOUT), 3)).astype(np.float32)
    xyz[list(lost), LEFT[0]] = np.nan
    expected = xyz[:, RIGHT].copy()
    expected[..., 0] = 2 * xyz[:, :1, 0] - expected[..., 0]  # point 0 is landmark 0
    np.testing.assert_array_equal(hand_of(xyz), expected)
    assert LAYOUT.points[0] == (0,)


def test_without_lips_it_is_mirrored_about_the_middle_of_the_image():
    xyz = np.random.default_rng(0).uniform(size=(4, len(LAYOUT), 3)).astype(np.float32)
    xyz[2:, :LIPS] = np.nan
    ours, published = hand_of(xyz), hand_of(xyz, mirror_x=None)
    np.testing.assert_array_equal(ours[:2], published[:2])
    np.testing.assert_array_equal(ours[2:, :, 0], 1 - xyz[2:, RIGHT, 0])
    assert np.isnan(published[2:, :, 0]).all()
    np.testing.assert_array_equal(published[..., 1:], xyz[:, RIGHT, 1:])


def test_a_signer_and_her_mirror_image_have_the_same_hand():
    """The choice stands behind the flip: one hand of either kind of signer, in the same shape."""
    xyz = torch.rand(1, 8, len(LAYOUT), 3, generator=torch.Generator().manual_seed(0))
    xyz[:, :3, LEFT] = torch.nan
    image = mirrored(xyz, LAYOUT, centre=0.0)
    hand, of_image = (one_hand(x, LAYOUT, 0.5) for x in (xyz, image))
    about_lip, of_image_about_lip = (
        torch.cat([h[..., :1] - x[:, :, :1, :1], h[..., 1:]], -1)
        for h, x in ((hand, xyz), (of_image, image))
    )
    # Sums of a few float32 numbers up to 2.
    torch.testing.assert_close(about_lip, of_image_about_lip, atol=5e-7, rtol=0)
    assert all(MIRROR[r] in {k for (k,) in LAYOUT.points} for r in RIGHT_HAND)


# --- what is missing, what is padded ------------------------------------------------------------


@pytest.mark.parametrize("parts", [("lips",), ("left_hand",), ("left_hand", "right_hand")])
def test_without_a_part_the_others_features_are_what_they_were(parts):
    """Distances and angles of what is seen do not change; those of what is not are 0."""
    xyz = np.random.default_rng(1).uniform(size=(6, len(LAYOUT), 3)).astype(np.float32)
    xyz[:, RIGHT[0]] = np.nan  # the left hand is read
    whole, lost = made(xyz), xyz.copy()
    lost[:, LAYOUT.rows(*parts)] = np.nan
    out = made(lost)
    for name in ("lip distances", "lip angles"):
        expected = 0 * whole[name] if "lips" in parts else whole[name]
        np.testing.assert_array_equal(out[name], expected)
    for name in ("hand distances", "hand angles"):
        if parts == ("lips",):
            np.testing.assert_array_equal(out[name], whole[name])
        if parts == ("left_hand", "right_hand"):
            assert (out[name] == 0).all()
    assert (np.abs(out["position"]).sum() > 0) and np.isfinite(out["position"]).all()


@pytest.mark.parametrize(
    "xyz",
    [
        np.full((4, len(LAYOUT), 3), np.nan, np.float32),
        np.full((4, len(LAYOUT), 3), 0.25, np.float32),
        np.full((1, len(LAYOUT), 3), 0.25, np.float32),
        clip(1, seed=3),
    ],
    ids=["nothing", "one point", "one point, one frame", "one frame"],
)
def test_features_are_finite(xyz):
    assert all(np.isfinite(block).all() for block in made(xyz).values())


def test_a_clip_of_one_frame_does_not_move():
    out = made(clip(1, seed=3))
    assert (out["history"] == 0).all() and (out["future"] == 0).all()


@pytest.mark.parametrize("fill", [0.0, torch.nan, 1e6])
def test_padding_changes_nothing_and_comes_out_as_zero(fill):
    lengths = (5, 1, 9)
    xyz = torch.full((3, 9, len(LAYOUT), 3), fill)
    for k, n in enumerate(lengths):
        xyz[k, :n] = torch.from_numpy(clip(n, seed=k + 3))
    mask = torch.arange(9) < torch.tensor(lengths)[:, None]
    out = FEATURES(xyz, mask, LAYOUT)
    for k, n in enumerate(lengths):
        alone = FEATURES(xyz[k : k + 1, :n], None, LAYOUT)[0]
        # Sums over other numbers of terms, the additional ones 0.
        torch.testing.assert_close(out[k, :n], alone, atol=1e-5, rtol=1e-5)
    assert (out[~mask] == 0).all()


def test_standardised_numbers_have_mean_zero_and_deviation_one():
    xyz = torch.from_numpy(clip(30))[None]
    known = ~xyz.isnan()
    out = standardised(xyz)[known]
    assert out.mean().abs() < 1e-5 and out.std().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(standardised(xyz).isnan(), xyz.isnan())


def test_the_input_is_left_alone():
    xyz = torch.from_numpy(clip(5))[None]
    before = xyz.clone()
    FEATURES(xyz, torch.ones(1, 5, dtype=torch.bool), LAYOUT)
    assert torch.equal(xyz.nan_to_num(nan=9), before.nan_to_num(nan=9))
