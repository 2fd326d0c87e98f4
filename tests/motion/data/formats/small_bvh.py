"""Small BVH files of every dialect, and forward kinematics that shares no code with src.

`tree` names a skeleton after a row of joint_names.py and gives it a rest pose; the numbers are
made up, only their directions are those of the dialect.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from src.motion.body.clip import MotionClip
from src.motion.data.formats.bvh import read_bvh
from src.motion.data.formats.joint_names import names_of

# What hangs on what, for a body that has every joint; children stand after their parents.
ABOVE = {
    "pelvis": None, "spine1": "pelvis", "spine2": "spine1", "spine3": "spine2", "neck": "spine3",
    "head": "neck",
} | {
    f"{side}_{part}": above if above in ("pelvis", "spine3") else f"{side}_{above}"
    for side in ("left", "right")
    for part, above in (
        ("hip", "pelvis"), ("knee", "hip"), ("ankle", "knee"), ("foot", "ankle"),
        ("collar", "spine3"), ("shoulder", "collar"), ("elbow", "shoulder"), ("wrist", "elbow"),
        ("hand", "wrist"),
    )
}  # fmt: skip

# Offsets of the left side; x of the right side is the opposite.
T_POSE = {
    "pelvis": (0, 0, 0), "spine1": (0, 1, 0), "spine2": (0, 1, 0), "spine3": (0, 1, 0),
    "neck": (0, 2, 0), "head": (0, 1, 0), "hip": (1, -0.5, 0), "knee": (0, -4, 0),
    "ankle": (0, -4, 0), "foot": (0, -0.4, 1), "collar": (0.5, 1, 0), "shoulder": (1, 0, 0),
    "elbow": (3, 0, 0), "wrist": (3, 0, 0), "hand": (1, 0, 0),
}  # fmt: skip
ARMS_DOWN = T_POSE | {"elbow": (0, -3, 0), "wrist": (0, -3, 0), "hand": (0, -1, 0)}
LEGS_APART = T_POSE | {"knee": (1.4, -4, 0), "ankle": (1.4, -4, 0)}
Z_UP = {part: (x, -z, y) for part, (x, y, z) in T_POSE.items()}

Tree = list[tuple[str, int, tuple[float, float, float], str]]  # name, parent, offset, SMPL joint


def tree(dialect: str, rest: dict = T_POSE, prefix: str = "", lacking: tuple = ()) -> Tree:
    """A skeleton of a dialect, without the joints that it lacks."""
    names, nodes, at = names_of(dialect), [], {}
    for joint, above in ABOVE.items():
        side, _, part = joint.rpartition("_")
        if not names[joint] or joint in lacking:
            at[joint] = at[above]
            continue
        x, y, z = rest[part]
        offset = (-x if side == "right" else x, y, z)
        at[joint] = len(nodes)
        nodes.append((prefix + names[joint][0], at[above] if above else -1, offset, joint))
    return nodes


def lafan_tree() -> Tree:
    """LAFAN1: every bone along its own x axis, left at positive z."""
    parts = {part: (np.linalg.norm(T_POSE[part]), 0.0, 0.0) for part in T_POSE}
    parts |= {"hip": (0, 0, 1), "collar": (1, 0, 0.5)}
    nodes = []
    for name, parent, _, joint in tree("LAFAN1"):
        side, _, part = joint.rpartition("_")
        x, y, z = parts[part]
        nodes.append((name, parent, (x, y, -z if side == "right" else z), joint))
    return nodes


def write(
    nodes: Tree, angles: np.ndarray, order: str = "ZYX", frame_time: str = "0.01", head: str = ""
) -> str:
    """The text of a file: angles (T, N, 3) in degrees, in the order of the channels."""
    channels = " ".join(f"{axis}rotation" for axis in order)
    children = {
        n: [k for k, node in enumerate(nodes) if node[1] == n] for n in range(-1, len(nodes))
    }
    written: list[int] = []

    def block(n: int, depth: int) -> str:
        name, parent, offset, _ = nodes[n]
        written.append(n)
        pad = "  " * depth
        text = f"{pad}{'ROOT' if parent < 0 else 'JOINT'} {name}\n{pad}{{\n"
        text += f"{pad}  OFFSET {' '.join(f'{v:.6f}' for v in offset)}\n"
        text += f"{pad}  CHANNELS 3 {channels}\n"
        for child in children[n]:
            text += block(child, depth + 1)
        if not children[n]:
            text += f"{pad}  End Site\n{pad}  {{\n{pad}    OFFSET 0 0 1\n{pad}  }}\n"
        return text + f"{pad}}}\n"

    hierarchy = "HIERARCHY\n" + "".join(block(n, 0) for n in children[-1])
    rows = [" ".join(f"{v:.6f}" for v in frame[written].ravel()) for frame in angles]
    motion = f"MOTION\nFrames: {len(rows)}\nFrame Time: {frame_time}\n"
    return hierarchy + head + motion + "\n".join(rows) + "\n"


def read(folder: Path, text: str) -> MotionClip:
    """What is read of a file of that text."""
    (folder / "a.bvh").write_text(text)
    return read_bvh(folder / "a.bvh")


def directions(nodes: Tree, frame: np.ndarray) -> dict[str, np.ndarray]:
    """Where each limb points in one frame, from the joint that turns it to the next: unit vectors,
    joint by joint from quaternions of scipy; a limb is named after its upper joint."""
    turned, at = [], []
    for (_, parent, offset, _), degrees in zip(nodes, frame, strict=True):
        own = Rotation.from_euler("ZYX", degrees, degrees=True)
        turned.append(own if parent < 0 else turned[parent] * own)
        at.append(np.zeros(3) if parent < 0 else at[parent] + turned[parent].apply(offset))
    number = {node[3]: n for n, node in enumerate(nodes)}
    found = {}
    limbs = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
    for upper, lower in limbs:
        for side in ("left", "right"):
            bone = at[number[f"{side}_{lower}"]] - at[number[f"{side}_{upper}"]]
            found[f"{side}_{upper}"] = bone / np.linalg.norm(bone)
    return found
