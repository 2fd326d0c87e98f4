"""The T-pose of a file's skeleton, found by turning the limbs of its rest pose.

SMPL's rotations are identity in the T-pose: legs straight down, arms straight out. Rest poses of
other skeletons have arms down, legs apart, or every bone along one axis. For every dialect the
directions of the limbs are compared with the T-pose. A limb that is off by more than its tolerance
is turned there by the shortest way, with everything below it.

- Reading: an upper arm, forearm, thigh or shin within 10 degrees of the T-pose stays as it is, so
  an inserted T-pose frame, whose legs are 3 degrees apart, is not changed.
- LAFAN1's rest pose has every bone along its own x axis, so thighs point up and the shortest way
  is not defined. Its T-pose is given by axes instead, as the recordings show them: y looks forward
  in the legs and back in the arms.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.skeleton import JOINTS, PARENTS

_DOWN, _FORWARD = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_OUT = {"left": np.array([1.0, 0.0, 0.0]), "right": np.array([-1.0, 0.0, 0.0])}
STRAIGHT = 10.0  # degrees that a limb may be off
_FOOT = 40.0  # the same for a foot, which slopes differently in every skeleton
_BODY = 20.0  # the same for the trunk
UNCLEAR = 150.0  # degrees beyond which the shortest way is not clear

# Where a limb ends, its direction in the T-pose, and the degrees that it may be off.
_LIMBS = {
    f"{side}_{joint}": (f"{side}_{end}", direction, tolerance)
    for side, out in _OUT.items()
    for joint, end, direction, tolerance in (
        ("hip", "knee", _DOWN, STRAIGHT),
        ("knee", "ankle", _DOWN, STRAIGHT),
        ("ankle", "foot", _FORWARD, _FOOT),
        ("shoulder", "elbow", out, STRAIGHT),
        ("elbow", "wrist", out, STRAIGHT),
    )
}

Point = Float[np.ndarray, "3"]
Turn = Float[np.ndarray, "3 3"]


def to_tpose(points: dict[str, Point], axes: dict[str, Turn], path: Path) -> dict[str, Turn]:
    """The global rotation that each of the 24 joints needs to bring a pose to the T-pose.

    Args:
        points: positions in that pose of the joints that the body has, in any unit.
        axes: global rotations of the same joints in that pose.
        path: the file, for messages.

    Returns:
        A rotation per joint; identity where none is needed.

    Raises:
        InputError: a bone has no length, hips lie above each other, or a limb points the wrong way.
    """
    turns = {"pelvis": _upright(points, path)}
    given = _along_x(points, axes, turns["pelvis"])
    for joint, parent in zip(JOINTS[1:], PARENTS[1:], strict=True):
        turn = turns[JOINTS[parent]]
        if joint in given:
            turn = given[joint] @ axes[joint].T
        elif joint in points:
            turn = _straightened(joint, turn, points, path) @ turn
        turns[joint] = turn
    return turns


def _upright(points: dict[str, Point], path: Path) -> Turn:
    """The turn that makes the trunk stand upright and look along z."""
    up = _direction(points, "pelvis", "neck", path)
    left = _direction(points, "right_hip", "left_hip", path)
    left = left - up * (left @ up)
    if np.linalg.norm(left) < 0.5:
        raise InputError(
            f"{path}: expected hips beside each other in the rest pose, found one above the "
            "other; the T-pose cannot be made from it"
        )
    left = left / np.linalg.norm(left)
    turn = np.stack([left, up, np.cross(left, up)])
    degrees = np.degrees(Rotation.from_matrix(turn).magnitude())
    return np.eye(3) if degrees <= _BODY else turn


def _direction(points: dict[str, Point], start: str, end: str, path: Path) -> Point:
    bone = points[end] - points[start]
    length = np.linalg.norm(bone)
    if not length > 0:
        raise InputError(
            f"{path}: expected {start} and {end} apart in the rest pose, found both at one point; "
            "the T-pose cannot be made from it"
        )
    return bone / length


def _straightened(joint: str, turn: Turn, points: dict[str, Point], path: Path) -> Turn:
    """The turn that a limb still needs after the turn of the limb above."""
    end, target, tolerance = _LIMBS.get(joint, (None, None, None))
    if end not in points or (joint.endswith("ankle") and not np.any(points[end] - points[joint])):
        return np.eye(3)  # no limb begins here, or its foot is missing or has no length
    direction = turn @ _direction(points, joint, end, path)
    off = np.degrees(np.arccos(np.clip(direction @ target, -1, 1)))
    if off > UNCLEAR:
        raise InputError(
            f"{path}: expected a rest pose that can be turned to the T-pose, found {joint} to "
            f"{end} {off:.0f} degrees off; check left and right, or put a T-pose first"
        )
    if off <= tolerance:
        return np.eye(3)
    return Rotation.align_vectors(target[None], direction[None])[0].as_matrix()


def _along_x(points: dict[str, Point], axes: dict[str, Turn], upright: Turn) -> dict[str, Turn]:
    """The T-pose axes of hips and collars if every limb lies along its own x axis, else nothing."""
    for joint, (end, *_) in _LIMBS.items():
        if not joint.endswith("ankle"):
            bone = axes[joint].T @ (points[end] - points[joint])
            if not bone[0] > 0.9 * np.linalg.norm(bone):
                return {}
    if (upright @ axes["pelvis"])[1, 0] < 0.9:  # x points up in the trunk
        return {}
    made = {}
    for side, out in _OUT.items():
        made[f"{side}_hip"] = np.stack([_DOWN, _FORWARD, np.cross(_DOWN, _FORWARD)], 1)
        made[f"{side}_collar"] = np.stack([out, -_FORWARD, np.cross(out, -_FORWARD)], 1)
    return made
