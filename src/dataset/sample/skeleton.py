"""Hands by forward kinematics, arms by inverse kinematics, and the pose landmarks.

- Metres, in body axes: x to the signer's left, y down, z away from the camera; the origin is
  between the shoulders. Arms and hands are right ones; the left ones are their mirror images.
- A hand's own axes: towards the thumb, along the fingers, out of the palm.

Letters: **T** frames.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from src.landmarks import FINGERS, KNUCKLES, LEFT_EYE_16, LIPS_40, NOSE_TIP, PARTS, RIGHT_EYE_16

Face = Float[np.ndarray, f"T {PARTS['face']} 3"]
Arm = Float[np.ndarray, "T 3 3"]  # shoulder, elbow, wrist
Hand = Float[np.ndarray, "T 21 3"]
Track = Float[np.ndarray, "T 3"]

MIRRORED = np.array([-1.0, 1.0, 1.0])

# Where a finger begins and its three bones, thumb to little finger. The unit is the palm's length,
# from the wrist to the middle finger's knuckle; anthropometric tables give these proportions.
_ROOTS = ((0.26, 0.24, 0.05), (0.27, 0.96, 0.0), (0.04, 1.0, 0.0), (-0.16, 0.94, 0.0))
_ROOTS += ((-0.34, 0.84, 0.0),)
_BONES = ((0.44, 0.36, 0.30), (0.46, 0.27, 0.21), (0.51, 0.31, 0.22), (0.47, 0.29, 0.21))
_BONES += ((0.36, 0.21, 0.19),)
_THUMB = 0
PALM_CENTRE = 0.6  # palm lengths from the wrist


def hand_points(angles: Float[np.ndarray, "T 5 4"], palm: float) -> Hand:
    """A hand's landmarks from its joint angles.

    Args:
        angles: radians, see `Handshape.angles`.
        palm: length of the palm, metres.

    Returns:
        Metres from the wrist, in the hand's own axes.
    """
    points = np.zeros((len(angles), 21, 3))
    for finger, rows in enumerate(FINGERS):
        at = np.broadcast_to(np.array(_ROOTS[finger]), (len(angles), 3))
        points[:, rows[1]] = at
        bend = _thumb_bones if finger == _THUMB else _finger_bones
        bones = bend(angles[:, finger])
        for bone in range(3):
            at = at + _BONES[finger][bone] * bones[bone]
            points[:, rows[2 + bone]] = at
    return points * palm


def _finger_bones(angles: Float[np.ndarray, "T 4"]) -> list[Track]:
    """The directions of a finger's bones, which bend towards the palm."""
    sideways, flexion = angles[:, 0], np.cumsum(angles[:, 1:], axis=1)
    return [_direction(sideways, flex, np.sin(flex)) for flex in flexion.T]


def _thumb_bones(angles: Float[np.ndarray, "T 4"]) -> list[Track]:
    """The directions of the thumb's bones, which bend across the palm."""
    sideways, forward = angles[:, 0], angles[:, 1]
    bent = sideways - np.cumsum(angles[:, 2:], axis=1).T
    return [_direction(side, forward, np.sin(forward)) for side in (sideways, *bent)]


def _direction(sideways: np.ndarray, tilt: np.ndarray, out: np.ndarray) -> Track:
    flat = np.cos(tilt)
    return np.stack([flat * np.sin(sideways), flat * np.cos(sideways), out], axis=1)


def hand_axes(fingers: np.ndarray, palm: np.ndarray) -> Rotation:
    """The rotation from a hand's own axes to the body's.

    Args:
        fingers: (3,) unit vector, where the fingers point.
        palm: (3,) unit vector, where the palm faces; perpendicular to `fingers`.
    """
    return Rotation.from_matrix(np.stack([np.cross(fingers, palm), fingers, palm], axis=1))


def within_reach(wrist: Track, shoulder: np.ndarray, arm: tuple[float, float]) -> Track:
    """The wrist, moved towards the shoulder where the arm is too short to reach it."""
    offset = wrist - shoulder
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    return shoulder + offset * np.minimum(1, 0.97 * sum(arm) / distance)


def elbow(wrist: Track, shoulder: np.ndarray, arm: tuple[float, float], out: np.ndarray) -> Track:
    """The elbow between a shoulder and a wrist: two bones, bent towards `out`.

    Args:
        wrist: within reach.
        shoulder: (3,).
        arm: lengths of upper arm and forearm, metres.
        out: (3,), the direction in which the elbow points.
    """
    upper, fore = arm
    offset = wrist - shoulder
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    ahead = offset / distance
    # By the law of cosines: how far the elbow is along the line from shoulder to wrist, and off it.
    along = (distance**2 + upper**2 - fore**2) / (2 * distance)
    off = np.sqrt(np.maximum(upper**2 - along**2, 0))
    side = out - ahead * (ahead @ out)[:, None]
    return shoulder + along * ahead + off * side / np.linalg.norm(side, axis=1, keepdims=True)


# From the right hip: hip, knee, ankle, heel, toe. They are below the picture, but BlazePose guesses
# them.
_RIGHT_LEG = np.array(
    [[0, 0, 0], [-0.02, 0.42, -0.05], [-0.01, 0.82, 0.05], [0, 0.86, 0.1], [-0.02, 0.88, -0.08]]
)


def pose_points(
    face: Face,
    ears: Float[np.ndarray, "T 2 3"],
    arms: tuple[Arm, Arm],
    hands: tuple[Hand, Hand],
    hip: Track,
) -> Float[np.ndarray, "T 33 3"]:
    """The pose landmarks in BlazePose's order: the head, then left and right in turn, downwards.

    Args:
        face: all of it.
        ears: left and right.
        arms: left and right.
        hands: left and right.
        hip: the right one.
    """
    outer, inner = 0, 8  # the corners of an eye, whose sixteen begin along the lower lid
    head = [face[:, NOSE_TIP]]
    for eye in (face[:, LEFT_EYE_16], face[:, RIGHT_EYE_16]):
        head += [eye[:, inner], eye.mean(1), eye[:, outer]]
    head += [ears[:, 0], ears[:, 1]]
    head += [face[:, LIPS_40[10]], face[:, LIPS_40[0]]]  # left and right corner of the mouth
    leg = hip[:, None] + _RIGHT_LEG
    knuckles = [KNUCKLES[4], KNUCKLES[1], FINGERS[_THUMB][2]]  # little, index, thumb
    sides = [
        np.concatenate([arm, hand[:, knuckles], leg * flip], axis=1)
        for arm, hand, flip in zip(arms, hands, (MIRRORED, 1), strict=True)
    ]
    in_turn = np.stack(sides, axis=2).reshape(len(face), -1, 3)
    return np.concatenate([np.stack(head, axis=1), in_turn], axis=1)
