"""The 543 landmarks of a frame: parts, named subsets, mirror partners, edges to draw.

No other file has landmark numbers. A frame is 543 rows in MediaPipe Holistic's order: 468 face, 21
left hand, 33 pose, 21 right hand. "Left" is the signer's left.

- A solution's choice of points is a `Layout`: named parts in a fixed order, where a point is one
  landmark or the mean of several. Everything else (rows of a part, mirror partner of each point,
  landmarks to read) is derived from it.
- Sources of the subsets: recognition.md 1.1, 2.1, 3.1, 4.1 and anchors.md, which follow the
  published solutions' tables.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

Point = int | tuple[int, ...]  # one landmark, or several to be averaged

PARTS = {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}  # order and size in a frame
N_LANDMARKS = sum(PARTS.values())  # 543

FACE = tuple(range(0, 468))
LEFT_HAND = tuple(range(468, 489))
POSE = tuple(range(489, 522))
RIGHT_HAND = tuple(range(522, 543))
HANDS = LEFT_HAND + RIGHT_HAND


def rows_of(part: str) -> slice:
    """The rows of a part in a frame."""
    before = sum(PARTS[name] for name in list(PARTS)[: list(PARTS).index(part)])
    return slice(before, before + PARTS[part])


def undetected(frames: int) -> np.ndarray:
    """A raw clip in which nothing was detected: (frames, 543, 3) float32, all NaN."""
    return np.full((frames, N_LANDMARKS, 3), np.nan, np.float32)


# --- files --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrameRows:
    """The rows of a frame in a clip file."""

    parts: dict[str, int]  # number of rows of each part, in order
    landmarks: np.ndarray  # (N_LANDMARKS,) the row of each landmark

    @cached_property
    def types(self) -> np.ndarray:
        """The part of each row, which files call type."""
        return np.repeat([*self.parts], [*self.parts.values()])

    @cached_property
    def index(self) -> np.ndarray:
        """The number of each row within its part, which files call landmark_index."""
        return np.concatenate([np.arange(size) for size in self.parts.values()])

    def __len__(self) -> int:
        return len(self.index)


PLAIN = FrameRows(PARTS, np.arange(N_LANDMARKS))
# MediaPipe with `refine_face_landmarks` finds five more points in each eye, on the iris. They come
# after the 468 points of the face mesh; no solution uses them.
WITH_IRISES = FrameRows(PARTS | {"face": 478}, np.delete(np.arange(553), range(468, 478)))


def rows_of_file(largest: int) -> FrameRows:
    """The rows of a frame in a file with this largest landmark_index."""
    return WITH_IRISES if len(FACE) <= largest < WITH_IRISES.parts["face"] else PLAIN


# --- mirror -------------------------------------------------------------------------------------

# FaceMesh numbers its vertices so that, without the midline, the k-th of the signer's right half
# (below 248) mirrors the k-th of the left half (248 to 467). tests/test_landmarks.py finds the same
# 220 pairs by matching the mean face of genuine clips with its own mirror image.
FACE_MIDLINE = (
    *(0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19),
    *(94, 151, 152, 164, 168, 175, 195, 197, 199, 200),
)
POSE_NOSE = 489  # also present in clips without a face mesh
# BlazePose, counted from the nose: eyes (inner, middle, outer) come in threes, the rest in pairs.
POSE_PAIRS = ((490, 493), (491, 494), (492, 495), *((k, k + 1) for k in range(496, 522, 2)))


def _mirror() -> tuple[int, ...]:
    right_face = [k for k in range(248) if k not in FACE_MIDLINE]
    pairs = [*zip(right_face, range(248, 468), strict=True), *POSE_PAIRS]
    pairs += zip(LEFT_HAND, RIGHT_HAND, strict=True)
    mirror = list(range(N_LANDMARKS))
    for a, b in pairs:
        mirror[a], mirror[b] = b, a
    return tuple(mirror)


MIRROR = _mirror()  # MIRROR[k] is the landmark that k becomes when the image is flipped

# --- hands, within a hand of 21 -----------------------------------------------------------------

WRIST = 0
FINGERS = tuple((WRIST, *range(1 + 4 * f, 5 + 4 * f)) for f in range(5))  # thumb to little finger
KNUCKLES = tuple(finger[1] for finger in FINGERS)
FINGERTIPS = tuple(finger[-1] for finger in FINGERS)
HAND_EDGES = (*(edge for finger in FINGERS for edge in pairwise(finger)), *pairwise(KNUCKLES[1:]))

# --- pose ---------------------------------------------------------------------------------------

POSE_HEAD = tuple(range(489, 500))
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST = range(500, 506)
ARMS = tuple(range(500, 512))  # shoulders, elbows, wrists and three fingers a side
POSE_17 = tuple(range(489, 506))  # head, shoulders, elbows, wrists: 26th place
LEFT_HIP, RIGHT_HIP = 512, 513
LEFT_FOREARM = tuple(range(502, 512, 2))  # elbow, wrist, little, index, thumb: Slovo's five
RIGHT_FOREARM = tuple(MIRROR[k] for k in LEFT_FOREARM)
POSE_EDGES = (
    *((500, 501), (500, 502), (502, 504), (501, 503), (503, 505), (500, 512), (501, 513)),
    *((512, 513), (504, 506), (504, 508), (504, 510), (505, 507), (505, 509), (505, 511)),
)

# --- face ---------------------------------------------------------------------------------------

CHIN, LOWER_LIP = 152, 17
NOSE_TIP = 1
# Outer contour (upper lip, then lower), inner contour (upper, then lower), each from the signer's
# right corner of the mouth to the left: Slovo and 1st place use the same forty.
_LIPS_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_LIPS_OUTER_LOWER = (146, 91, 181, 84, 17, 314, 405, 321, 375)
_LIPS_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415)
_LIPS_INNER_LOWER = (95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIPS_40 = (*_LIPS_OUTER_UPPER, *_LIPS_OUTER_LOWER, *_LIPS_INNER_UPPER, *_LIPS_INNER_LOWER)
# 2nd place's order: midline, left side, and the mirror partners of the left side.
LIPS_MIDLINE = (0, 13, 14, 17)
_LIPS_LEFT = (*(267, 269, 270, 409, 291), *(312, 311, 310, 415, 308))
_LIPS_LEFT += (*(317, 402, 318, 324), *(314, 405, 321, 375))
LIPS_40_BY_SIDE = (*LIPS_MIDLINE, *_LIPS_LEFT, *(MIRROR[k] for k in _LIPS_LEFT))
# 2nd place's eight lip angles (a, vertex, c): the corners that were meant, and those published.
LIP_ANGLES_MEANT = (
    *((0, 61, 17), (61, 17, 291), (17, 291, 0), (291, 0, 61)),
    *((13, 78, 14), (78, 14, 308), (14, 308, 13), (308, 13, 78)),
)
LIP_ANGLES_PUBLISHED = (
    *((0, 312, 40), (312, 40, 270), (40, 270, 0), (270, 0, 312)),
    *((61, 88, 185), (88, 185, 181), (185, 181, 61), (181, 61, 88)),
)
# 6th place.
SILHOUETTE_18 = (10, 54, 67, 132, 150, 152, 162, 172, 176, 234, 284, 297, 361, 379, 389, 397, 400)
SILHOUETTE_18 += (454,)
LIPS_21 = (13, 37, 40, 61, 78, 81, 84, 87, 88, 91, 191, 267, 270, 291, 308, 311, 314, 317, 318)
LIPS_21 += (321, 415)
CHEEKS = (205, 425)
LEFT_EYE_MEAN = (466, 387, 385, 398, 263, 390, 374, 381, 362)
RIGHT_EYE_MEAN = (246, 160, 158, 173, 33, 163, 145, 154, 133)
LEFT_BROW_MEAN = (383, 293, 296, 285)
RIGHT_BROW_MEAN = (156, 63, 66, 55)
NOSE_MEAN = (1, 2, 98, 327, 168)
# 26th place, in ascending order.
HEAD_26 = (13, 14, 33, 81, 95, 133, 145, 154, 157, 159, 161, 163, 178, 191, 263, 311, 324, 362)
HEAD_26 += (374, 381, 384, 386, 388, 390, 402, 415)
LIP_PAIRS_CROSSED = ((95, 415), (191, 324))  # in its mirror table, instead of 95-324, 191-415
# 1st place.
NOSE_4 = (1, 2, 98, 327)
RIGHT_EYE_16 = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
LEFT_EYE_16 = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)


def _ring(*points: int) -> tuple[tuple[int, int], ...]:
    return tuple(zip(points, (*points[1:], points[0]), strict=True))


_FACE_OVAL_RIGHT = (109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148)
FACE_OVAL = (10, *_FACE_OVAL_RIGHT, 152, *(MIRROR[k] for k in reversed(_FACE_OVAL_RIGHT)))
_EYE_RING = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
FACE_EDGES = (
    *_ring(*FACE_OVAL),
    *_ring(*_LIPS_OUTER_UPPER, *reversed(_LIPS_OUTER_LOWER)),
    *_ring(*_LIPS_INNER_UPPER, *reversed(_LIPS_INNER_LOWER)),
    *_ring(*_EYE_RING),
    *_ring(*(MIRROR[k] for k in _EYE_RING)),
)
EDGES = {  # the lines that draw one frame, per part
    "face": FACE_EDGES,
    "left_hand": tuple((LEFT_HAND[a], LEFT_HAND[b]) for a, b in HAND_EDGES),
    "pose": POSE_EDGES,
    "right_hand": tuple((RIGHT_HAND[a], RIGHT_HAND[b]) for a, b in HAND_EDGES),
}

# --- a solution's choice of points --------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """An ordered choice of points per frame, in named parts."""

    parts: dict[str, tuple[Point, ...]]

    @cached_property
    def points(self) -> tuple[tuple[int, ...], ...]:
        """The landmarks behind each point, in layout order."""
        points = (p for part in self.parts.values() for p in part)
        return tuple((p,) if isinstance(p, int) else tuple(p) for p in points)

    @cached_property
    def sources(self) -> tuple[int, ...]:
        """Every landmark that the layout reads, ascending."""
        return tuple(sorted({k for point in self.points for k in point}))

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """For each point, its mirror partner's position in the layout; every point needs one."""
        position = {frozenset(point): i for i, point in enumerate(self.points)}
        mirror = []
        for point in self.points:
            partner = frozenset(MIRROR[k] for k in point)
            if partner not in position:
                raise ValueError(
                    f"landmark {sorted(point)} has no mirror partner in this layout: add "
                    f"{sorted(partner)} to its parts, or leave mirroring out of the recipe"
                )
            mirror.append(position[partner])
        return tuple(mirror)

    def __len__(self) -> int:
        return len(self.points)

    def __eq__(self, other: object) -> bool:
        # Dictionaries are equal in any order of their keys; layouts differ if their rows do.
        return isinstance(other, Layout) and [*self.parts.items()] == [*other.parts.items()]

    def __hash__(self) -> int:
        return hash(self.points)

    def rows(self, *names: str) -> tuple[int, ...]:
        """The positions of the named parts' points, part by part in the order of the names."""
        for name in names:
            if name not in self.parts:
                raise KeyError(f"no part {name!r} in this layout: it has {', '.join(self.parts)}")
        part_of_row = [part for part, points in self.parts.items() for _ in points]
        return tuple(i for name in names for i, part in enumerate(part_of_row) if part == name)

    def row(self, point: Point) -> int:
        """The position of one point."""
        landmarks = (point,) if isinstance(point, int) else tuple(point)
        if landmarks not in self.points:
            raise KeyError(f"no point of landmarks {landmarks} in this layout")
        return self.points.index(landmarks)
