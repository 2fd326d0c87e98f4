"""The 24 SMPL joints' names in each kind of skeleton: a table for all readers, a row per dialect.

- `*` stands for Left or Right, `#` for L or R, `~` for l or r, `-` for a joint that the skeleton
  does not have. A cell with a slash lists spellings that occur in files of one kind.
- Case does not matter, and a prefix that all names share, as in `mixamorig:Hips`, is left out.
- A node between two named ones (a second neck, a hip joint without a bone) needs no name, because
  global rotations are compared: that of the lower node contains its rotation.
- Toes and fingers may be missing in a file: they are not forecast.

Source: the joint table of the corpus' README, and published files of each kind.
"""

import re
from collections.abc import Sequence

from src.common.errors import InputError
from src.motion.body.skeleton import JOINTS, PARENTS

_COLUMNS = (
    *("pelvis", "spine1", "spine2", "spine3", "neck", "head", "hip", "knee", "ankle", "foot"),
    *("collar", "shoulder", "elbow", "wrist", "hand"),
)
_TABLE = {
    "classic CMU BVH": "Hips LowerBack Spine Spine1 Neck1 Head *UpLeg *Leg *Foot *ToeBase "
    "*Shoulder *Arm *ForeArm *Hand *HandIndex1/#Fingers",
    "MotionBuilder CMU BVH": "Hips lowerback Chest Chest2 Neck Head *Hip *Knee *Ankle *Toe "
    "*Collar *Shoulder *Elbow *Wrist ~hand",
    "ASF/AMC": "root lowerback upperback thorax upperneck head ~femur ~tibia ~foot ~toes "
    "~clavicle ~humerus ~radius ~wrist ~hand",
    "Mixamo": "Hips Spine Spine1 Spine2 Neck Head *UpLeg *Leg *Foot *ToeBase "
    "*Shoulder *Arm *ForeArm *Hand *HandIndex1",
    "LAFAN1": "Hips Spine Spine1 Spine2 Neck Head *UpLeg *Leg *Foot *Toe "
    "*Shoulder *Arm *ForeArm *Hand -",
    "DAZ-friendly CMU BVH": "hip abdomen chest - neck head ~Thigh ~Shin ~Foot - "
    "~Collar ~Shldr ~ForeArm ~Hand ~Mid1",
    "Rokoko": "Hips Spine1 Spine2 Spine4 Neck Head *Thigh *Shin *Foot *Toe "
    "*Shoulder *Arm *ForeArm *Hand -",
    "Bandai-Namco": "Hips Spine Chest - Neck Head UpperLeg_# LowerLeg_# Foot_# Toes_# "
    "Shoulder_# UpperArm_# LowerArm_# Hand_# -",
}
DIALECTS = tuple(_TABLE)
_MAY_LACK = ("left_foot", "right_foot", "left_hand", "right_hand")
_PREFIX = re.compile(r"^(.*:|mixamorig\d*_?)", re.IGNORECASE)


def names_of(dialect: str) -> dict[str, list[str]]:
    """The spellings of each SMPL joint in a dialect; an empty list for a joint that it lacks."""
    cells = dict(zip(_COLUMNS, _TABLE[dialect].split(), strict=True))
    names = {}
    for joint in JOINTS:
        side, _, part = joint.rpartition("_")
        cell = cells[part].replace("*", side.capitalize())
        cell = cell.replace("#", side[:1].upper()).replace("~", side[:1])
        names[joint] = [] if cell == "-" else cell.split("/")
    return names


def find_joints(
    names: Sequence[str], parents: Sequence[int], where: str
) -> tuple[str, dict[str, int]]:
    """The dialect of a skeleton, and the node of each SMPL joint that it has.

    `parents` has each node's parent, -1 for the root; `where` is the file, for messages.

    Raises:
        InputError: no dialect fits the names and the shape of the tree; the message lists what the
            nearest dialect needs and the file lacks.
    """
    plain = _plain(names)
    fits, misses = [], []
    for dialect in DIALECTS:
        spellings, nodes = names_of(dialect), {}
        for joint, options in spellings.items():
            if there := [name.lower() for name in options if name.lower() in plain]:
                nodes[joint] = plain.index(there[0])
        lacking = [j for j in JOINTS if spellings[j] and j not in (*nodes, *_MAY_LACK)]
        problems = [" or ".join(spellings[j]) for j in lacking] or _detached(nodes, names, parents)
        if problems:
            misses.append((len(problems), bool(not lacking), dialect, problems))
        else:
            fits.append((dialect, nodes))
    if fits:
        return max(fits, key=lambda fit: len(fit[1]))
    count, in_shape, dialect, problems = min(misses)
    trouble = "hang on another joint" if in_shape else "are missing"
    raise InputError(
        f"{where}: expected the joints of a known skeleton; of the nearest, {dialect}, {count} "
        f"{trouble}: {', '.join(problems)}; rename the joints, or add a row to "
        "src/motion/data/formats/joint_names.py"
    )


def _plain(names: Sequence[str]) -> list[str]:
    """Names in lower case, without a prefix (a character's name) that all of them share."""
    short = [_PREFIX.sub("", name).lower() for name in names]
    first = short[0].rpartition("_")[0]
    shared = f"{first}_" if first and all(n.startswith(f"{first}_") for n in short) else ""
    return [name.removeprefix(shared) for name in short]


def _detached(nodes: dict[str, int], names: Sequence[str], parents: Sequence[int]) -> list[str]:
    """The joints whose node is not a descendant of the node of the joint above."""
    detached = []
    for joint, node in nodes.items():
        above = PARENTS[JOINTS.index(joint)]
        while above >= 0 and JOINTS[above] not in nodes:
            above = PARENTS[above]
        ancestor = node
        while above >= 0 and ancestor >= 0 and ancestor != nodes[JOINTS[above]]:
            ancestor = parents[ancestor]
        if ancestor < 0:
            detached.append(f"{names[node]} not on {names[nodes[JOINTS[above]]]}")
    return detached
