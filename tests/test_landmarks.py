"""The landmark tables against the documents' own tables, and against genuine faces."""

from itertools import chain, pairwise

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from src import landmarks as lm
from src.dataset import clip_file
from src.landmarks import LEFT_HAND, MIRROR, N_LANDMARKS, PARTS, RIGHT_HAND, Layout

PART_OF = list(chain.from_iterable([part] * size for part, size in PARTS.items()))


def pairs(text: str) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in (word.split("-") for word in text.split())]


def test_parts_fill_the_frame_in_order():
    assert lm.PLAIN.types.tolist() == PART_OF
    assert tuple(range(N_LANDMARKS)) == lm.FACE + lm.LEFT_HAND + lm.POSE + lm.RIGHT_HAND
    for name, points in zip(PARTS, (lm.FACE, lm.LEFT_HAND, lm.POSE, lm.RIGHT_HAND), strict=True):
        assert range(N_LANDMARKS)[lm.rows_of(name)] == range(points[0], points[-1] + 1)


def test_mirror_is_an_involution_that_swaps_the_hands_and_moves_all_but_the_midline():
    other = {"left_hand": "right_hand", "right_hand": "left_hand"}
    for k in range(N_LANDMARKS):
        assert MIRROR[MIRROR[k]] == k
        assert PART_OF[MIRROR[k]] == other.get(PART_OF[k], PART_OF[k]), k
    fixed = tuple(k for k in range(N_LANDMARKS) if MIRROR[k] == k)
    assert fixed == (*lm.FACE_MIDLINE, lm.POSE_NOSE)
    # 220 face pairs, 16 pose pairs, 21 hand pairs.
    assert N_LANDMARKS - len(fixed) == 2 * (220 + 16 + 21)


# recognition.md 2.3, 3.3: the pairs the published solutions list themselves.
PUBLISHED_PAIRS = {
    "26th place, face": "33-263 81-311 133-362 145-374 154-381 157-384 159-386 161-388 163-390 "
    "178-402 95-324 191-415",
    "26th place, pose": "490-493 491-494 492-495 496-497 498-499 500-501 502-503 504-505",
    "6th place, silhouette": "54-284 67-297 132-361 150-379 162-389 172-397 176-400 234-454",
    "6th place, lips": "37-267 40-270 61-291 78-308 81-311 84-314 87-317 88-318 91-321 191-415",
    "6th place, arms": "500-501 502-503 504-505 506-507 508-509 510-511",
    "6th place, cheeks": "205-425",
    "hands": " ".join(f"{468 + h}-{522 + h}" for h in range(21)),
    "midline": "10-10 152-152 13-13 14-14 489-489",
}


@pytest.mark.parametrize("table", PUBLISHED_PAIRS.values(), ids=PUBLISHED_PAIRS)
def test_mirror_agrees_with_published_pairs(table):
    assert [(a, MIRROR[a]) for a, _ in pairs(table)] == pairs(table)


@pytest.fixture(scope="module")
def mean_face(reference) -> np.ndarray:
    """(468, 3), the mean of genuine faces after similarity (Procrustes) alignment."""
    files = sorted(reference("asl_signs").glob("train_landmark_files/*/*.parquet"))[::6]
    frames = [clip_file.read_clip(path)[:, list(lm.FACE)] for path in files]
    faces = [clip[np.isfinite(clip).all((1, 2))][:4] for clip in frames]
    faces = np.concatenate(faces).astype(np.float64)
    assert len(faces) > 100
    mean = faces[0]
    for _ in range(5):
        mean = np.mean([aligned(face, mean) for face in faces], axis=0)
    return mean


def aligned(face: np.ndarray, to: np.ndarray) -> np.ndarray:
    """`face`, turned, scaled and moved to fit `to` (Kabsch, Umeyama)."""
    a, b = face - face.mean(0), to - to.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    d = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return a @ (u * d @ vt) * (s * d).sum() / (a**2).sum() + to.mean(0)


@pytest.mark.reference
def test_face_pairs_are_those_of_genuine_faces(mean_face):
    """Match the mean face with its mirror image: every landmark must find its partner."""
    face = mean_face
    image = face * [-1, 1, 1]
    image = image - image.mean(0) + face.mean(0)
    for _ in range(10):
        _, partner = linear_sum_assignment(cdist(face, image))
        image[partner] = aligned(image[partner], face)
    assert partner.tolist() == list(MIRROR[: len(face)])


def test_published_lip_angles_are_those_of_its_index_table():
    by_index = "0,9,24 9,24,6 24,6,0 6,0,9 26,34,25 34,25,37 25,37,26 37,26,34"  # recognition 1.3
    triples = [[int(i) for i in triple.split(",")] for triple in by_index.split()]
    picked = tuple(tuple(lm.LIPS_40_BY_SIDE[i] for i in triple) for triple in triples)
    assert picked == lm.LIP_ANGLES_PUBLISHED


def test_edges_stay_in_their_part_come_once_and_are_symmetric():
    assert list(lm.EDGES) == list(PARTS)
    for part, edges in lm.EDGES.items():
        assert {PART_OF[k] for edge in edges for k in edge} == {part}
        assert len({frozenset(edge) for edge in edges}) == len(edges)
    undirected = {frozenset(edge) for edges in lm.EDGES.values() for edge in edges}
    assert {frozenset(MIRROR[k] for k in edge) for edge in undirected} == undirected


@pytest.mark.reference
@pytest.mark.parametrize(
    "ring",
    [
        lm.FACE_OVAL,
        (*lm.LIPS_40[:11], *lm.LIPS_40[11:20][::-1]),
        (*lm.LIPS_40[20:30], *lm.LIPS_40[30:][::-1]),
        lm.RIGHT_EYE_16[:9] + lm.RIGHT_EYE_16[9:][::-1],
    ],
    ids=["face oval", "outer lips", "inner lips", "right eye"],
)
def test_contours_go_once_around_a_genuine_face(ring, mean_face):
    """Drawn edges follow the contour: seen from its middle, no step goes back."""
    outline = mean_face[list(ring), :2]
    angle = np.unwrap(np.arctan2(*(outline - outline.mean(0)).T))
    turned = np.diff(angle, append=angle[0] + 2 * np.pi * np.sign(angle[-1] - angle[0]))
    assert (turned > 0).all() or (turned < 0).all()
    steps = {frozenset(edge) for edge in pairwise((*ring, ring[0]))}
    assert steps <= {frozenset(edge) for edge in lm.FACE_EDGES}


LAYOUT = Layout(
    {
        "right_hand": RIGHT_HAND,
        "left_hand": LEFT_HAND,
        "eyes": (lm.LEFT_EYE_MEAN, lm.RIGHT_EYE_MEAN),
        "nose": (lm.NOSE_MEAN, lm.NOSE_TIP),
    }
)


def test_layout_rows_follow_the_order_asked_for():
    assert len(LAYOUT) == 46
    assert LAYOUT.rows("left_hand") == tuple(range(21, 42))
    assert LAYOUT.rows("nose", "eyes", "right_hand") == (44, 45, 42, 43, *range(21))
    assert [LAYOUT.points[i] for i in LAYOUT.rows("eyes")] == [*LAYOUT.parts["eyes"]]
    assert LAYOUT.row(lm.NOSE_TIP) == 45 and LAYOUT.row(lm.NOSE_MEAN) == 44


def test_layout_sources_are_ascending_and_once_each():
    behind = {*RIGHT_HAND, *LEFT_HAND, *lm.LEFT_EYE_MEAN, *lm.RIGHT_EYE_MEAN, *lm.NOSE_MEAN}
    assert LAYOUT.sources == tuple(sorted(behind | {lm.NOSE_TIP}))


def test_layout_mirror_leads_to_the_mirrored_landmarks():
    for i, j in enumerate(LAYOUT.mirror):
        assert set(LAYOUT.points[j]) == {MIRROR[k] for k in LAYOUT.points[i]}


def test_layout_refuses_a_missing_partner_and_an_unknown_part_by_name():
    one_sided = Layout({"left_hand": LEFT_HAND, "cheek": lm.CHEEKS[:1]})
    with pytest.raises(ValueError, match=r"landmark \[468\].*add \[522\]"):
        _ = one_sided.mirror
    with pytest.raises(KeyError, match=r"no part 'lips'.*right_hand, left_hand, eyes, nose"):
        LAYOUT.rows("lips")


def test_layouts_of_another_order_are_not_equal():
    """Equal steps on equal layouts share their graph, so equality must mean the same rows."""
    swapped = Layout(dict(reversed(LAYOUT.parts.items())))
    assert swapped != LAYOUT
    same = Layout(dict(LAYOUT.parts))
    assert same == LAYOUT and hash(same) == hash(LAYOUT)
