"""Hands by forward kinematics, arms by inverse kinematics, and the pose landmarks.

- Metres, in body axes: x to the signer's left, y down, z away from the camera; the origin is
  between the shoulders. Arms and hands are right ones; the left ones are their mirror images.
- A hand's own axes: towards the thumb, along the fingers, out of the palm.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from src.dataset.sample.signers import Signer
from src.landmarks import FINGERS, KNUCKLES, LEFT_EYE_16, LIPS_40, NOSE_TIP, PARTS, RIGHT_EYE_16

Face = Float[np.ndarray, f"T {PARTS['face']} 3"]
Arm = Float[np.ndarray, "T 3 3"]  # shoulder, elbow, wrist
Hand = Float[np.ndarray, "T 21 3"]
ArmAndHand = tuple[Arm, Hand]
Track = Float[np.ndarray, "T 3"]

MIRRORED = np.array([-1.0, 1.0, 1.0])

# Where each finger begins and its three bones, thumb to little finger. Unit: a palm's length, from
# the wrist to the middle finger's knuckle; anthropometric tables give these proportions.
_ROOTS = ((0.26, 0.24, 0.05), (0.27, 0.96, 0.0), (0.04, 1.0, 0.0), (-0.16, 0.94, 0.0))
_ROOTS += ((-0.34, 0.84, 0.0),)
_BONES = ((0.44, 0.36, 0.30), (0.46, 0.27, 0.21), (0.51, 0.31, 0.22), (0.47, 0.29, 0.21))
_BONES += ((0.36, 0.21, 0.19),)
_THUMB = 0


def hand_points(angles: Float[np.ndarray, "T 5 4"], palm: float) -> Hand:
    """A hand's landmarks, metres from the wrist, in the hand's axes; see `Handshape.angles`."""
    points = np.zeros((len(angles), 21, 3))
    for finger, rows in enumerate(FINGERS):
        root = np.broadcast_to(np.array(_ROOTS[finger]), (len(angles), 3))
        directions = _directions(angles[:, finger], finger == _THUMB)
        bones = [length * way for length, way in zip(_BONES[finger], directions, strict=True)]
        points[:, rows[1:]] = np.cumsum([root, *bones], axis=0).swapaxes(0, 1)
    return points * palm


def _directions(angles: Float[np.ndarray, "T 4"], thumb: bool) -> list[Track]:
    """The directions of a finger's bones: fingers bend towards the palm, the thumb across it."""
    sideways = angles[:, 0]
    if thumb:
        bent = sideways - np.cumsum(angles[:, 2:], axis=1).T
        ways = [(side, angles[:, 1]) for side in (sideways, *bent)]
    else:
        ways = [(sideways, tilt) for tilt in np.cumsum(angles[:, 1:], axis=1).T]
    cos, sin = np.cos, np.sin
    return [
        np.stack([cos(tilt) * sin(side), cos(tilt) * cos(side), sin(tilt)], axis=1)
        for side, tilt in ways
    ]


def hand_axes(fingers: np.ndarray, palm: np.ndarray) -> Rotation:
    """The rotation from a hand's own axes to the body's.

    The arguments are perpendicular unit vectors: where the fingers point and where the palm faces.
    """
    return Rotation.from_matrix(np.stack([np.cross(fingers, palm), fingers, palm], axis=1))


def within_reach(wrist: Track, shoulder: np.ndarray, arm: tuple[float, float]) -> Track:
    """The wrist, moved towards the shoulder where the arm is too short to reach it."""
    offset = wrist - shoulder
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    return shoulder + offset * np.minimum(1, 0.97 * sum(arm) / distance)


def elbow(wrist: Track, shoulder: np.ndarray, arm: tuple[float, float], out: np.ndarray) -> Track:
    """The elbow between a shoulder (3,) and a wrist within reach: two bones, bent towards `out`."""
    upper, fore = arm  # lengths, metres
    offset = wrist - shoulder
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    ahead = offset / distance
    # By the law of cosines: how far the elbow is along the line from shoulder to wrist, and off it.
    along = (distance**2 + upper**2 - fore**2) / (2 * distance)
    off = np.sqrt(np.maximum(upper**2 - along**2, 0))
    side = out - ahead * (ahead @ out)[:, None]
    return shoulder + along * ahead + off * side / np.linalg.norm(side, axis=1, keepdims=True)


_ELBOW_OUT = np.array([-0.7, 1.0, 0.35])  # elbows hang down and a little to the side


def right_arm(
    signer: Signer, wrist: Track, angles: Float[np.ndarray, "T 5 4"], axes: Rotation
) -> ArmAndHand:
    """The arm that ends at a wrist, if it can reach that far, and its hand, turned by `axes`."""
    shoulder = np.array([-signer.shoulder, 0, 0])
    wrist = within_reach(wrist, shoulder, signer.arm)
    bend = elbow(wrist, shoulder, signer.arm, _ELBOW_OUT)
    points = np.stack([np.broadcast_to(shoulder, wrist.shape), bend, wrist], axis=1)
    hand = np.einsum("tij,tnj->tni", axes.as_matrix(), hand_points(angles, signer.palm))
    return points, wrist[:, None] + hand


# From the right hip: hip, knee, ankle, heel, toe. They are below the picture, but BlazePose guesses
# them.
_RIGHT_LEG = np.array(
    [[0, 0, 0], [-0.02, 0.42, -0.05], [-0.01, 0.82, 0.05], [0, 0.86, 0.1], [-0.02, 0.88, -0.08]]
)


def pose_points(
    face: Face, ears: Float[np.ndarray, "T 2 3"], limbs: tuple[ArmAndHand, ArmAndHand], hip: Track
) -> Float[np.ndarray, "T 33 3"]:
    """Pose landmarks in BlazePose's order: the head, then left and right alternately, downwards.

    The left landmark of each pair comes first; `hip` is the right hip.
    """
    outer, inner = 0, 8  # an eye's corners: its 16 points begin along the lower lid
    head = [face[:, NOSE_TIP]]
    for eye in (face[:, LEFT_EYE_16], face[:, RIGHT_EYE_16]):
        head += [eye[:, inner], eye.mean(1), eye[:, outer]]
    head += [ears[:, 0], ears[:, 1]]
    head += [face[:, LIPS_40[10]], face[:, LIPS_40[0]]]  # left and right corner of the mouth
    leg = hip[:, None] + _RIGHT_LEG
    knuckles = [KNUCKLES[4], KNUCKLES[1], FINGERS[_THUMB][2]]  # little, index, thumb
    sides = [
        np.concatenate([arm, hand[:, knuckles], leg * flip], axis=1)
        for (arm, hand), flip in zip(limbs, (MIRRORED, 1), strict=True)
    ]
    in_turn = np.stack(sides, axis=2).reshape(len(face), -1, 3)
    return np.concatenate([np.stack(head, axis=1), in_turn], axis=1)
