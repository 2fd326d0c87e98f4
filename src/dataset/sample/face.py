"""A parametric face: a neutral mesh, and how the mouth, the jaw and the brows change it.

- Unit: the face's width. Axes as the body's (x to the signer's left, y down, z away from the
  camera); the origin is a little above the tip of the nose.
- Landmarks that have a name (contour, eyes, brows, nose, lips, midline) are where a real face has
  them. The others are spread evenly, because nothing depends on any one of them.
- The right half is made; the left half is its mirror image.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.stats.qmc import Halton

from src.dataset.sample.skeleton import MIRRORED, Face
from src.landmarks import (
    CHEEKS,
    FACE,
    FACE_MIDLINE,
    FACE_OVAL,
    LIPS_40,
    MIRROR,
    NOSE_MEAN,
    PARTS,
    RIGHT_BROW_MEAN,
    RIGHT_EYE_16,
)

EARS = np.array([[0.50, -0.08, 0.48], [-0.50, -0.08, 0.48]])  # left, right; part of the pose

_HALF_WIDTH, _HALF_HEIGHT = 0.49, 0.61
_MOUTH_Y, _MOUTH_HALF_WIDTH = 0.27, 0.17
# Heights of the midline's landmarks, in FACE_MIDLINE's order, read off MediaPipe's own picture of
# its mesh.
_MIDLINE_Y = (
    *(0.20, 0.02, 0.07, -0.03, -0.09, -0.22, -0.34, -0.41, -0.61, 0.21, 0.23, 0.25, 0.29, 0.31),
    *(0.34, 0.36, 0.41, 0.04, 0.06, -0.51, 0.61, 0.11, -0.28, 0.57, -0.14, -0.18, 0.51, 0.46),
)
_BROW = ((-0.42, -0.30), (-0.36, -0.40), (-0.22, -0.44), (-0.10, -0.37))  # outer to inner


@dataclass(frozen=True)
class Expression:
    """What the face does, frame by frame."""

    opening: Float[np.ndarray, "T"]  # the gap between the lips, in widths of the neutral mouth
    width: Float[np.ndarray, "T"]  # of the mouth, in widths of the neutral mouth
    protrusion: Float[np.ndarray, "T"]  # how far the lips are pushed forward, in face widths
    brows: Float[np.ndarray, "T"]  # how far they are raised, in face widths


def face_points(expression: Expression) -> Face:
    """The face with an expression, in face widths, looking at the camera."""
    gap = 2 * _MOUTH_HALF_WIDTH * expression.opening[:, None]
    face = np.repeat(neutral_face()[None], len(gap), axis=0)
    # The jaw goes down as the mouth opens; the nearer a point is to the chin, the more it moves.
    below = np.clip((neutral_face()[:, 1] - _MOUTH_Y) / (_HALF_HEIGHT - _MOUTH_Y), 0, 1)
    face[:, :, 1] += 0.6 * gap * below
    brow = [*RIGHT_BROW_MEAN, *(MIRROR[k] for k in RIGHT_BROW_MEAN)]
    face[:, brow, 1] -= expression.brows[:, None]
    face[:, LIPS_40] = _lips(expression)
    return face


@cache
def neutral_face() -> Float[np.ndarray, f"{PARTS['face']} 3"]:
    """The face at rest, mouth closed."""
    face = np.full((len(FACE), 3), np.nan)
    placed = _right_half()
    face[list(placed), :2] = list(placed.values())
    # In each pair that is not placed yet, the right landmark gets one of the spread points.
    spare = [k for k in FACE if np.isnan(face[k, 0]) and k < MIRROR[k]]
    spare = [k for k in spare if np.isnan(face[MIRROR[k], 0])]
    face[spare, :2] = _spread(len(spare))
    face[:, 2] = _depth(face[:, 0], face[:, 1])
    # The landmarks that are still empty are the left half.
    empty = np.isnan(face[:, 0])
    face[empty] = (face * MIRRORED)[[MIRROR[k] for k in FACE]][empty]
    still = np.zeros(1)
    face[list(LIPS_40)] = _lips(Expression(still, still + 1, still, still))[0]
    return face


def _right_half() -> dict[int, tuple[float, float]]:
    """x, y of the named landmarks of the midline and the signer's right half, except the lips."""
    points = {k: (0.0, y) for k, y in zip(FACE_MIDLINE, _MIDLINE_Y, strict=True)}
    half = len(FACE_OVAL) // 2
    for k, landmark in enumerate(FACE_OVAL[1:half], start=1):  # from the forehead to the chin
        angle = np.pi * k / half
        roundness = 0.65 if angle < np.pi / 2 else 1.2  # a broad forehead, a narrow jaw
        x = -_HALF_WIDTH * np.sin(angle) ** roundness
        points[landmark] = (x, -_HALF_HEIGHT * np.cos(angle))
    lower, upper = RIGHT_EYE_16[:9], RIGHT_EYE_16[9:]  # both from the outer corner to the inner
    for lid, bend, first in ((lower, 0.025, 0), (upper, -0.035, 1)):  # the lower has the corners
        for k, landmark in enumerate(lid, start=first):
            angle = np.pi * k / 8
            points[landmark] = (-0.22 - 0.10 * np.cos(angle), -0.23 + bend * np.sin(angle))
    points |= dict(zip(RIGHT_BROW_MEAN, _BROW, strict=True))
    points[NOSE_MEAN[2]] = (-0.12, 0.07)  # the wing of the nose
    points[CHEEKS[0]] = (-0.28, 0.06)
    return points


def _spread(count: int) -> Float[np.ndarray, "count 2"]:
    """Evenly spread points in the right half of the face."""
    grid = Halton(2, scramble=False).random(4 * count)
    y = (2 * grid[:, 1] - 1) * 0.95 * _HALF_HEIGHT
    x = -grid[:, 0] * _HALF_WIDTH
    inside = (x / _HALF_WIDTH) ** 2 + (y / _HALF_HEIGHT) ** 2 < 0.9
    return np.stack([x, y], axis=1)[inside & (x < -0.02)][:count]


def _depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The face's surface: an ellipsoid with a nose."""
    skull = -0.06 + 0.5 * np.abs(x / _HALF_WIDTH) ** 3.5 + 0.05 * (y / _HALF_HEIGHT) ** 2
    ridge = np.clip((y + 0.35) / 0.37, 0, 1) * np.clip((0.14 - y) / 0.12, 0, 1)
    return skull - 0.17 * ridge * np.exp(-((x / 0.08) ** 2))


def _lips(expression: Expression) -> Float[np.ndarray, "T 40 3"]:
    """The lips' four contours in LIPS_40's order, from the right corner to the left.

    Each contour is half an ellipse, with points at some of ten even steps from corner to corner.
    """
    gap = 2 * _MOUTH_HALF_WIDTH * expression.opening[:, None]
    # A quarter of the gap opens upwards and three quarters downwards: only the jaw moves.
    upper, lower = 0.25 * gap, 0.75 * gap
    steps = np.arange(11)
    contours = (
        (steps, 1.0, -0.075 - upper),
        (steps[1:-1], 1.0, 0.09 + lower),
        (steps[:-1], 0.88, -0.015 - upper),
        (steps[1:], 0.88, 0.015 + lower),
    )
    points = []
    for step, width, height in contours:
        angle = np.pi * step / 10
        bulge = np.sin(angle)
        x = -width * _MOUTH_HALF_WIDTH * expression.width[:, None] * np.cos(angle)
        y = _MOUTH_Y + height * bulge
        z = -0.03 - 0.11 * bulge - expression.protrusion[:, None] * (0.4 + 0.6 * bulge)
        points.append(np.stack([x, y, z], axis=2))
    return np.concatenate(points, axis=1)
