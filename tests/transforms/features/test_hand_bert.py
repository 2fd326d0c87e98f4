"""972 features against numbers made one by one, as recognition.md 1.2 to 1.3 says."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine, pdist

from src.recipes.hand_bert import LAYOUT
from src.transforms.features.hand_bert import LIP_ANGLES, HandBertFeatures, both_hands

LIPS, LEFT, RIGHT = (list(LAYOUT.rows(part)) for part in ("lips", "left_hand", "right_hand"))
# thumb = 0-1-2-3-4: cos_sim(0-1, 1-2), cos_sim(1-2, 2-3), cos_sim(2-3, 3-4).
FINGERS = [(0, *range(k, k + 4)) for k in (1, 5, 9, 13, 17)]
FINGER_ANGLES = [f[i : i + 3] for f in FINGERS for i in range(3)]


def clip(n_frames: int, seed: int = 0, lost: tuple[float, float] = (0.2, 0.6)) -> np.ndarray:
    """(T, 82, 3) image units; each hand is lost in a share of the frames, and so are the lips."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(0.1, 0.9, (n_frames, len(LAYOUT), 3)).astype(np.float32)
    for rows, share in ((LEFT, lost[0]), (RIGHT, lost[1]), (LIPS, 0.2)):
        xyz[np.ix_(rng.random(n_frames) < share, rows)] = np.nan
    return xyz


def made(xyz: np.ndarray, features: HandBertFeatures) -> np.ndarray:
    return features(torch.from_numpy(xyz)[None], None, LAYOUT)[0].numpy()


def read_hand(xyz: np.ndarray, mirror_x: float | None) -> np.ndarray:
    """The left hand, if it misses fewer numbers; or the right one, mirrored about the lip."""
    if np.isnan(xyz[:, LEFT]).sum() < np.isnan(xyz[:, RIGHT]).sum():
        return xyz[:, LEFT]
    hand = xyz[:, RIGHT].copy()
    if mirror_x is not None:
        lip = xyz[:, 0, 0]
        if not np.isnan(lip).all():
            mirror_x = np.nanmean(lip)
        elif np.nansum(hand[..., 0]) < 0:
            mirror_x = -mirror_x
    for frame, x in zip(hand, xyz[:, 0, 0], strict=True):  # point 0 is landmark 0
        x = mirror_x if np.isnan(x) and mirror_x is not None else x
        frame[:, 0] = 2 * x - frame[:, 0]
    return hand


def wrists(xyz: np.ndarray) -> np.ndarray:
    """(T, 12) of a clip counted from the shoulders: the signing wrist, the other, their motions."""
    places = [xyz[:, LEFT[0], :2], xyz[:, RIGHT[0], :2]]
    if np.isnan(xyz[:, LEFT]).sum() >= np.isnan(xyz[:, RIGHT]).sum():
        places = [places[1] * [-1, 1], places[0] * [-1, 1]]
    place = np.concatenate(places, 1)
    still, motion = np.zeros((1, 4)), np.diff(place, axis=0)
    history, future = np.concatenate([still, motion]), np.concatenate([motion, still])
    return np.nan_to_num(np.concatenate([place, history, future], 1))


def angle(a: np.ndarray, vertex: np.ndarray, c: np.ndarray) -> float:
    return 1 - cosine(a - vertex, c - vertex)


def document(xyz: np.ndarray, features: HandBertFeatures) -> np.ndarray:
    xyz = xyz.astype(np.float64)
    lips, hand = xyz[:, LIPS], read_hand(xyz, features.mirror_x)
    chosen = np.concatenate([lips, hand], 1)
    known = chosen[~np.isnan(chosen)]
    position = ((chosen - known.mean()) / known.std(ddof=1)).reshape(len(xyz), 183)
    zero, motion = np.zeros((1, 183)), position[1:] - position[:-1]
    motions = (np.concatenate([zero, motion]), np.concatenate([motion, zero]))
    if features.future_first:
        motions = (-motions[1], motions[0])
    sign = 1 if features.interior_angles else -1
    rows = [
        [
            *pdist(lip[:20, :2]),
            *pdist(h[:, :2]),
            *(angle(*lip[list(triple)]) for triple in LIP_ANGLES[features.lip_angles]),
            *(sign * angle(*h[list(triple)]) for triple in FINGER_ANGLES),
        ]
        for lip, h in zip(lips, hand, strict=True)
    ]
    return np.nan_to_num(np.concatenate([position, *motions, np.array(rows)], 1))


CLIPS = {
    "left hand": clip(12),
    "right hand": clip(12, lost=(0.6, 0.2)),
    "both alike": clip(9, lost=(0.0, 0.0)),
    "one frame": clip(1, seed=3),
}
FEATURES = {
    "ours": HandBertFeatures(),
    "no middle without lips": HandBertFeatures(mirror_x=None),
    "lip angles as meant": HandBertFeatures(lip_angles="meant"),
    "the code's": HandBertFeatures(None, interior_angles=True, future_first=True),
}


@pytest.mark.parametrize("xyz", CLIPS.values(), ids=CLIPS)
@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
def test_features_are_the_documents(features, xyz):
    # Float32 sums of some 2,000 numbers, against float64.
    np.testing.assert_allclose(made(xyz, features), document(xyz, features), atol=3e-5)


@pytest.mark.parametrize("xyz", CLIPS.values(), ids=CLIPS)
def test_the_wrists_come_after_the_documents_features(xyz):
    xyz = xyz - np.float32([0.5, 0.5, 0.0])
    xyz[:, LIPS] = np.nan  # the cpu profile hides them
    plain, more = HandBertFeatures(mirror_x=0.0), HandBertFeatures(mirror_x=0.0, wrists=True)
    out = made(xyz, more)
    assert out.shape[1] == more.size == plain.size + 12
    np.testing.assert_array_equal(out[:, : plain.size], made(xyz, plain))
    np.testing.assert_allclose(out[:, plain.size :], wrists(xyz), atol=1e-6)


def test_the_wrists_of_a_left_handed_signer_are_those_of_the_mirror_image():
    xyz = clip(9, lost=(0.0, 0.3)) - np.float32([0.5, 0.5, 0.0])
    xyz[:, LIPS] = np.nan
    image = xyz[:, list(LAYOUT.mirror)] * np.float32([-1, 1, 1])
    features = HandBertFeatures(mirror_x=0.0, wrists=True)
    np.testing.assert_allclose(made(image, features), made(xyz, features), atol=1e-6)


@pytest.mark.parametrize("never", [False, True], ids=["lips come and go", "never lips"])
def test_of_a_flipped_clip_the_hand_is_the_flipped_hand(never):
    """Mirrored about the flipped picture's middle, where there are no lips: it does not jump."""
    xyz = clip(9, lost=(1.0, 0.3))
    xyz[slice(None) if never else slice(3, 5), LIPS] = np.nan
    hands = [
        both_hands(torch.from_numpy(x)[None], LAYOUT, mirror_x=0.5)[0][0].numpy()
        for x in (xyz, xyz * np.float32([-1, 1, 1]))
    ]
    np.testing.assert_allclose(hands[1], hands[0] * [-1, 1, 1], atol=1e-6)


@pytest.mark.parametrize(("n_frames", "value"), [(4, np.nan), (4, 0.25), (1, 0.25)])
def test_features_of_nothing_and_of_a_single_place_are_finite(n_frames, value):
    xyz = np.full((n_frames, len(LAYOUT), 3), value, np.float32)
    assert np.isfinite(made(xyz, HandBertFeatures())).all()


@pytest.mark.parametrize("fill", [0.0, torch.nan, 1e6])
def test_padding_changes_nothing_and_comes_out_as_zero(fill):
    lengths, features = (5, 1, 9), HandBertFeatures()
    xyz = torch.full((3, 9, len(LAYOUT), 3), fill)
    for k, n in enumerate(lengths):
        xyz[k, :n] = torch.from_numpy(clip(n, seed=k + 3))
    mask = torch.arange(9) < torch.tensor(lengths)[:, None]
    out = features(xyz, mask, LAYOUT)
    for k, n in enumerate(lengths):
        alone = features(xyz[k : k + 1, :n], None, LAYOUT)[0]
        # Sums over other numbers of terms, the additional ones 0.
        torch.testing.assert_close(out[k, :n], alone, atol=1e-5, rtol=1e-5)
    assert (out[~mask] == 0).all()
