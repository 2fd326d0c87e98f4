"""The T-pose of a file's skeleton, found by turning the limbs of its rest pose.

SMPL's rotations are identity in the T-pose: legs straight down, arms straight out. Rest poses of
other skeletons have arms down, legs apart, or every bone along one axis. For every dialect the
directions of the limbs are compared with the T-pose, and a limb that is further off than its
tolerance is turned there by the shortest way, with everything below it.

- Reading: an upper arm, forearm, thigh or shin within 10 degrees of the T-pose stays as it is, so
  that an inserted T-pose frame, whose legs are 3 degrees apart, counts as it stands.
- LAFAN1's rest pose has every bone along its own x axis, so thighs point up and the shortest way
  is not defined. Its T-pose is given by axes instead, as the recordings show them: y looks forward
  in the legs and back in the arms.

Letters: **J** = 24 SMPL joints.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.skeleton import JOINTS, PARENTS

_DOWN, _FORWARD = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_OUT = {"left": np.array([1.0, 0.0, 0.0]), "right": np.array([-1.0, 0.0, 0.0])}
_ALONG_X = np.array([1.0, 0.0, 0.0])
STRAIGHT = 10.0  # degrees that a limb may be off
_FOOT = 40.0  # the same for a foot, which slopes differently in every skeleton
_BODY = 20.0  # the same for the trunk
UNCLEAR = 150.0  # degrees from which on the shortest way is not clear any more

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


def to_tpose(
    points: Float[np.ndarray, "24 3"], axes: Float[np.ndarray, "24 3 3"], where: str
) -> Float[np.ndarray, "24 3 3"]:
    """How the parts of a body are to be turned, in the world, for its pose to be the T-pose.

    Args:
        points: (J, 3), its joints, in any unit; NaN for those that it lacks.
        axes: (J, 3, 3), rotations of its joints in that pose.
        where: the file, for messages.

    Returns:
        (J, 3, 3), identity where nothing is to be turned.

    Raises:
        InputError: a bone of no length, or a limb that points the opposite way.
    """
    turns = [_upright(points, where)]
    given = _along_x(points, axes, turns[0])
    for number, joint in enumerate(JOINTS[1:], 1):
        turn = turns[PARENTS[number]]
        if joint in given:
            turn = given[joint] @ axes[number].T
        elif not np.isnan(points[number]).any():
            turn = _straightened(joint, turn, points, where) @ turn
        turns.append(turn)
    return np.stack(turns)


def _upright(points: Float[np.ndarray, "24 3"], where: str) -> Turn:
    """The turn that makes the trunk stand upright and look along z."""
    up = _direction(points, "pelvis", "neck", where)
    left = _direction(points, "right_hip", "left_hip", where)
    left = left - up * (left @ up)
    if np.linalg.norm(left) < 0.5:
        raise InputError(
            f"{where}: expected hips beside each other in the rest pose, found one above the "
            "other; the T-pose cannot be made from it"
        )
    left = left / np.linalg.norm(left)
    turn = np.stack([left, up, np.cross(left, up)])
    small = np.degrees(Rotation.from_matrix(turn).magnitude()) <= _BODY
    return np.eye(3) if small else turn


def _direction(points: Float[np.ndarray, "24 3"], start: str, end: str, where: str) -> Point:
    bone = points[JOINTS.index(end)] - points[JOINTS.index(start)]
    length = np.linalg.norm(bone)
    if not length > 0:
        raise InputError(
            f"{where}: expected {start} and {end} apart in the rest pose, found both at one point; "
            "the T-pose cannot be made from it"
        )
    return bone / length


def _straightened(joint: str, turn: Turn, points: Float[np.ndarray, "24 3"], where: str) -> Turn:
    """What is still to be turned after the turn of the limb above."""
    if joint not in _LIMBS or np.isnan(points[JOINTS.index(_LIMBS[joint][0])]).any():
        return np.eye(3)
    end, target, tolerance = _LIMBS[joint]
    if joint.endswith("ankle") and not np.any(
        points[JOINTS.index(end)] - points[JOINTS.index(joint)]
    ):
        return np.eye(3)
    direction = turn @ _direction(points, joint, end, where)
    off = np.degrees(np.arccos(np.clip(direction @ target, -1, 1)))
    if off > UNCLEAR:
        raise InputError(
            f"{where}: expected a rest pose that can be turned to the T-pose, found {joint} to "
            f"{end} {off:.0f} degrees off; check left and right, or put a T-pose first"
        )
    if off <= tolerance:
        return np.eye(3)
    return Rotation.align_vectors(target[None], direction[None])[0].as_matrix()


def _along_x(
    points: Float[np.ndarray, "24 3"], axes: Float[np.ndarray, "24 3 3"], upright: Turn
) -> dict[str, Turn]:
    """The axes of hips and collars in the T-pose if every limb lies along its own x axis."""
    limbs = [j for j in JOINTS if j.endswith(("hip", "knee", "shoulder", "elbow"))]
    for joint in limbs:
        start, end = JOINTS.index(joint), JOINTS.index(_LIMBS[joint][0])
        bone = axes[start].T @ (points[end] - points[start])
        if not bone @ _ALONG_X > 0.9 * np.linalg.norm(bone):
            return {}
    if (upright @ axes[0] @ _ALONG_X)[1] < 0.9:  # x points up in the trunk
        return {}
    made = {}
    for side, out in _OUT.items():
        made[f"{side}_hip"] = np.stack([_DOWN, _FORWARD, np.cross(_DOWN, _FORWARD)], 1)
        made[f"{side}_collar"] = np.stack([out, -_FORWARD, np.cross(out, -_FORWARD)], 1)
    return made
