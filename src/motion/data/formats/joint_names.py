"""What each kind of skeleton calls the 24 SMPL joints: one table for all readers.

A cell with a slash lists spellings that occur in files of one kind. A node between two named ones
(a second neck, a hip joint without a bone) needs no name: global rotations are compared, and the
lower node's contains it. Source: the joint table of the corpus' README.
"""

from __future__ import annotations

from collections.abc import Sequence

from src.common.errors import InputError
from src.motion.body.skeleton import JOINTS

DIALECTS = ("classic CMU BVH", "MotionBuilder CMU BVH", "ASF/AMC")
_TABLE = {
    "pelvis": ("Hips", "Hips", "root"),
    "left_hip": ("LeftUpLeg", "LeftHip", "lfemur"),
    "right_hip": ("RightUpLeg", "RightHip", "rfemur"),
    "spine1": ("LowerBack", "lowerback", "lowerback"),
    "left_knee": ("LeftLeg", "LeftKnee", "ltibia"),
    "right_knee": ("RightLeg", "RightKnee", "rtibia"),
    "spine2": ("Spine", "Chest", "upperback"),
    "left_ankle": ("LeftFoot", "LeftAnkle", "lfoot"),
    "right_ankle": ("RightFoot", "RightAnkle", "rfoot"),
    "spine3": ("Spine1", "Chest2", "thorax"),
    "left_foot": ("LeftToeBase", "LeftToe", "ltoes"),
    "right_foot": ("RightToeBase", "RightToe", "rtoes"),
    "neck": ("Neck1", "Neck", "upperneck"),
    "left_collar": ("LeftShoulder", "LeftCollar", "lclavicle"),
    "right_collar": ("RightShoulder", "RightCollar", "rclavicle"),
    "head": ("Head", "Head", "head"),
    "left_shoulder": ("LeftArm", "LeftShoulder", "lhumerus"),
    "right_shoulder": ("RightArm", "RightShoulder", "rhumerus"),
    "left_elbow": ("LeftForeArm", "LeftElbow", "lradius"),
    "right_elbow": ("RightForeArm", "RightElbow", "rradius"),
    "left_wrist": ("LeftHand", "LeftWrist", "lwrist"),
    "right_wrist": ("RightHand", "RightWrist", "rwrist"),
    "left_hand": ("LeftHandIndex1/LFingers", "lhand", "lhand"),
    "right_hand": ("RightHandIndex1/RFingers", "rhand", "rhand"),
}


def find_joints(names: Sequence[str], where: str) -> list[int]:
    """The node of each SMPL joint, in SMPL's order, from names in any of the dialects.

    Raises:
        InputError: no dialect fits; names the missing joints of the nearest one.
    """
    misses = []
    for column, dialect in enumerate(DIALECTS):
        spellings = [_TABLE[joint][column].split("/") for joint in JOINTS]
        nodes = [_first(names, options) for options in spellings]
        missing = [" or ".join(o) for o, node in zip(spellings, nodes, strict=True) if node < 0]
        if not missing:
            return nodes
        misses.append((len(missing), dialect, missing))
    count, dialect, missing = min(misses)
    raise InputError(
        f"{where}: expected the joints of a known skeleton; of the nearest, {dialect}, {count} are "
        f"missing: {', '.join(missing)}; rename the file's, or add a column to "
        "src/motion/data/formats/joint_names.py"
    )


def _first(names: Sequence[str], options: list[str]) -> int:
    return next((names.index(option) for option in options if option in names), -1)
