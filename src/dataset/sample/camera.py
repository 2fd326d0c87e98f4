"""From a moving body in metres to the landmarks that MediaPipe Holistic would find in its video.

- The picture is a perspective view. As in the competition, x is in picture widths and y in picture
  heights, so their scales differ unless the picture is square.
- z is in picture widths and relative, as in MediaPipe: on the face to the middle of the face, on a
  hand to the wrist, on the pose to the hips.
- A hand is lost when it leaves the picture, when it moves fast, and sometimes for a short while
  without a visible reason. The face is rarely lost, the pose never.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from src.clips import RawClip
from src.landmarks import FACE, LEFT_HAND, LEFT_HIP, POSE, RIGHT_HAND, RIGHT_HIP, WRIST


@dataclass(frozen=True)
class Camera:
    """A camera and what is in its picture."""

    width: float  # of the view where the signer stands, metres
    aspect: float  # the picture's width over its height
    centre: tuple[float, float]  # the middle of the shoulders, in the picture's widths and heights
    turn: Float[np.ndarray, "3"]  # rotation vector, radians
    distance: float  # metres to the signer


def draw_camera(rng: np.random.Generator) -> Camera:
    """A camera like a phone in front of a signer: mostly upright, 3:4, a little askew."""
    return Camera(
        width=0.55 * rng.uniform(0.9, 1.12),
        aspect=0.75 * rng.choice([1, 1, 1, 0.9, 1.1]),
        centre=(rng.normal(0.5, 0.045), rng.normal(0.65, 0.04)),
        turn=rng.normal(0, np.radians((5, 7, 3.5))),
        distance=rng.uniform(0.75, 1.3),
    )


def moved(camera: Camera, rng: np.random.Generator) -> Camera:
    """The same camera, moved a little, as between two clips."""
    x, y = camera.centre
    return replace(
        camera,
        width=camera.width * np.exp(rng.normal(0, 0.025)),
        centre=(x + rng.normal(0, 0.015), y + rng.normal(0, 0.015)),
        turn=camera.turn + rng.normal(0, np.radians(1.2), 3),
    )


def picture(body: RawClip, camera: Camera) -> RawClip:
    """A body in metres as MediaPipe's coordinates; nothing is missing yet."""
    turned = Rotation.from_rotvec(camera.turn).apply(body.reshape(-1, 3)).reshape(body.shape)
    nearer = camera.distance / (camera.distance + turned[..., 2])
    xyz = np.empty_like(turned)
    xyz[..., 0] = camera.centre[0] + turned[..., 0] * nearer / camera.width
    xyz[..., 1] = camera.centre[1] + turned[..., 1] * nearer * camera.aspect / camera.width
    xyz[..., 2] = turned[..., 2] / camera.width
    depth = xyz[..., 2]
    depth[:, FACE] -= depth[:, FACE].mean(1, keepdims=True)
    for hand in (LEFT_HAND, RIGHT_HAND):
        depth[:, hand] -= depth[:, [hand[WRIST]]]
    # BlazePose's depth is a rough guess, in genuine clips six times too large on average.
    depth[:, POSE] -= depth[:, [LEFT_HIP, RIGHT_HIP]].mean(1, keepdims=True)
    depth[:, POSE] *= 6
    return xyz


# --- what the detector makes of it --------------------------------------------------------------

_JITTER = {  # part -> xy, z
    FACE: (0.0006, 0.001),
    POSE: (0.002, 0.02),
    LEFT_HAND: (0.003, 0.008),
    RIGHT_HAND: (0.003, 0.008),
}
_DRIFT = 0.0035  # how far a whole hand slowly drifts, picture widths
_FACE_LOST = 0.025  # share of the clips that lose the face for a while


def detected(xyz: RawClip, steadiness: float, rng: np.random.Generator) -> RawClip:
    """Add jitter, and NaN where a part is lost; the higher `steadiness`, the rarer for hands."""
    xyz = xyz.copy()
    for rows, (flat, deep) in _JITTER.items():
        shape = (len(xyz), len(rows), 3)
        noise = rng.standard_normal(shape, dtype=np.float32) * np.float32((flat, flat, deep))
        xyz[:, rows] += noise
    for rows in (LEFT_HAND, RIGHT_HAND):
        hand = xyz[:, rows]
        seen = _hand_seen(hand, steadiness + rng.normal(0, 0.5), rng)
        hand[..., :2] += _DRIFT * _wander(len(xyz), 2, rng)[:, None]
        hand[:, WRIST, 2] *= 1e-5  # the wrist is the origin of a hand's depth, up to rounding
        hand[~seen] = np.nan
        xyz[:, rows] = hand
    if rng.random() < _FACE_LOST:
        length = rng.integers(1, len(xyz) + 1)
        start = rng.integers(0, len(xyz) - length + 1)
        xyz[start : start + length, FACE] = np.nan
    return xyz


def _hand_seen(
    hand: Float[np.ndarray, "T 21 3"], steadiness: float, rng: np.random.Generator
) -> Bool[np.ndarray, "T"]:
    frames = len(hand)
    middle = hand[..., :2].mean(1)
    inside = ((hand[..., :2] > -0.01) & (hand[..., :2] < 1.0)).all(2).mean(1)
    step = np.linalg.norm(np.gradient(middle, axis=0), axis=1) if frames > 1 else np.zeros(1)
    # A hand is found if odds and luck add up to more than zero. The chance is even where half of
    # the hand is in the picture, or where it moves by 0.3 picture widths in one frame.
    odds = 2.7 + steadiness - 5 * (1 - inside) - 9 * step
    luck = 1.3 * _wander(frames, 1, rng)[:, 0] + 0.7 * rng.standard_normal(frames)
    return (odds + luck > 0) & (inside > 1 / 4)


def _wander(frames: int, channels: int, rng: np.random.Generator) -> Float[np.ndarray, "T C"]:
    """Slowly changing noise of unit variance: white noise smoothed over some five frames."""
    width = 5
    white = rng.standard_normal((frames + width - 1, channels))
    total = np.cumsum(np.concatenate([np.zeros((1, channels)), white]), axis=0)
    return (total[width:] - total[:-width]) / np.sqrt(width)
