"""From another skeleton's rotations to SMPL's, through global rotations.

Each node's global rotation is taken relative to the T-pose, the nodes of the 24 joints are picked,
and local rotations are computed along SMPL's tree. A joint that the skeleton lacks turns with the
joint above.

Letters: **T** frames, **N** nodes of the file's own skeleton, **J** = 24 SMPL joints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.clip import MotionClip, Origin
from src.motion.body.kinematics import local_rotations
from src.motion.body.skeleton import JOINTS, PARENTS
from src.motion.data.formats.joint_names import find_joints
from src.motion.data.formats.tpose import to_tpose


@dataclass(frozen=True)
class Nodes:
    """A file's own skeleton in motion."""

    names: Sequence[str]
    parents: Sequence[int]  # of each node, -1 = the root; a parent comes before its children
    local: Float[np.ndarray, "T N 3 3"]  # rotation of each node in its parent's frame
    offsets: Float[np.ndarray, "N 3"]  # from the parent's position, in the parent's frame


def to_smpl(nodes: Nodes, tpose_first: bool, fps: float, path: Path) -> MotionClip:
    """The motion on SMPL's 24 joints; `path` is the file, for the clip's name and for messages.

    With `tpose_first` frame 0 was inserted and is not part of the motion. The T-pose is then made
    from that frame, otherwise from the pose without rotations.

    Raises:
        InputError: a joint is missing, there is no motion, or the rest pose is not a T-pose and
            cannot be turned to one.
    """
    dialect, found = find_joints(nodes.names, nodes.parents, str(path))
    if len(nodes.local) <= tpose_first:
        raise InputError(
            f"{path}: expected frames of motion, found the T-pose alone; export the motion too"
        )
    world = _world(nodes)
    rest = world[0] if tpose_first else np.tile(np.eye(3), (len(nodes.names), 1, 1))
    at = _positions(nodes, rest)
    points = {joint: at[node] for joint, node in found.items()}
    axes = {joint: rest[node] for joint, node in found.items()}
    turns = to_tpose(points, axes, path)
    relative: list[np.ndarray] = []  # the 24 joints' global rotations, relative to the T-pose
    for joint, parent in zip(JOINTS, PARENTS, strict=True):
        if joint in found:
            tpose = turns[joint] @ axes[joint]
            relative.append(world[int(tpose_first) :, found[joint]] @ tpose.T)
        else:
            relative.append(relative[parent])
    local = local_rotations(torch.from_numpy(np.stack(relative, 1))).numpy()
    mapped = {joint: nodes.names[node] for joint, node in found.items()}
    degrees = np.degrees(Rotation.from_matrix(np.stack([*turns.values()])).magnitude())
    origin = Origin(dialect, mapped, dict(zip(turns, degrees.tolist(), strict=True)))
    return MotionClip(path.stem, local.astype(np.float32), fps, origin)


def _world(nodes: Nodes) -> Float[np.ndarray, "T N 3 3"]:
    world = nodes.local.copy()
    for node, parent in enumerate(nodes.parents):
        if parent >= 0:
            world[:, node] = world[:, parent] @ nodes.local[:, node]
    return world


def _positions(nodes: Nodes, world: Float[np.ndarray, "N 3 3"]) -> Float[np.ndarray, "N 3"]:
    points = np.zeros((len(nodes.names), 3))
    for node, parent in enumerate(nodes.parents):
        if parent >= 0:
            points[node] = points[parent] + world[parent] @ nodes.offsets[node]
    return points
