"""From another skeleton's rotations to SMPL's, through global rotations.

Each node's global rotation is taken relative to that in the T-pose, the nodes of the 24 joints are
picked, and local rotations follow along SMPL's tree. A joint that the skeleton lacks turns with the
joint above it.

Letters: **T** frames, **N** nodes of the file's own skeleton, **J** = 24 SMPL joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def to_smpl(nodes: Nodes, tpose_first: bool, fps: float, name: str, where: str) -> MotionClip:
    """The motion on SMPL's 24 joints; `where` is the file, for messages.

    With `tpose_first` frame 0 was inserted and is no part of the motion: the T-pose is made from
    it, otherwise from the pose without any rotation.

    Raises:
        InputError: a joint is missing, there is no motion, or the rest pose is no T-pose and
            cannot be turned to one.
    """
    dialect, found = find_joints(nodes.names, nodes.parents, where)
    if len(nodes.local) <= tpose_first:
        raise InputError(
            f"{where}: expected frames of motion, found the T-pose alone; export the motion too"
        )
    world = _world(nodes)
    rest = world[0] if tpose_first else np.tile(np.eye(3), (len(nodes.names), 1, 1))
    points, axes = np.full((len(JOINTS), 3), np.nan), np.tile(np.eye(3), (len(JOINTS), 1, 1))
    at = _positions(nodes, rest)
    for joint, node in found.items():
        points[JOINTS.index(joint)], axes[JOINTS.index(joint)] = at[node], rest[node]
    turns = to_tpose(points, axes, where)
    relative = _relative(world[int(tpose_first) :], found, turns @ axes)
    local = local_rotations(torch.from_numpy(relative)).numpy()
    mapped = {joint: nodes.names[node] for joint, node in found.items()}
    degrees = np.degrees(Rotation.from_matrix(turns).magnitude())
    origin = Origin(dialect, mapped, dict(zip(JOINTS, degrees.tolist(), strict=True)))
    return MotionClip(name, local.astype(np.float32), fps, origin)


def _relative(
    world: Float[np.ndarray, "T N 3 3"],
    found: dict[str, int],
    tpose: Float[np.ndarray, "24 3 3"],
) -> Float[np.ndarray, "T 24 3 3"]:
    """Global rotations of the 24 joints from the T-pose on."""
    relative: list[np.ndarray] = []
    for number, joint in enumerate(JOINTS):
        if joint in found:
            relative.append(world[:, found[joint]] @ tpose[number].T)
        else:
            relative.append(relative[PARENTS[number]])
    return np.stack(relative, 1)


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
