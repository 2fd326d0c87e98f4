"""From another skeleton's rotations to SMPL's, through global rotations.

SMPL's rotations are identity in the T-pose. So each node's global rotation is taken relative to
that in the T-pose, the nodes of the 24 joints are picked, and local rotations follow along SMPL's
tree.

- Reading: for a file without a T-pose frame the T-pose is the zero pose with its legs turned
  straight down. CMU's zero pose is a T-pose but for the legs, which are 20 degrees apart.

Letters: **T** frames, **N** nodes of the file's own skeleton.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from src.motion.body.clip import MotionClip
from src.motion.body.kinematics import local_rotations
from src.motion.body.skeleton import JOINTS
from src.motion.data.formats.joint_names import find_joints

_LEGS = ("hip", "knee", "ankle", "foot")
_DOWN = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Nodes:
    """A file's own skeleton in motion.

    Args:
        names: of the nodes.
        parents: of each node, -1 = the root; a parent comes before its children.
        local: (T, N, 3, 3), rotation of each node in its parent's frame.
        bones: (N, 3), direction of each node's bone in the zero pose, of any length.
    """

    names: Sequence[str]
    parents: Sequence[int]
    local: Float[np.ndarray, "T N 3 3"]
    bones: Float[np.ndarray, "N 3"]


def to_smpl(nodes: Nodes, tpose_first: bool, fps: float, name: str, where: str) -> MotionClip:
    """The motion on SMPL's 24 joints.

    Args:
        nodes: the file's skeleton and rotations.
        tpose_first: True if frame 0 is a T-pose, which is no part of the motion.
        fps: frames per second.
        name: of the clip.
        where: the file, for messages.

    Raises:
        InputError: a joint is missing.
    """
    picked = find_joints(list(nodes.names), where)
    world = _world(nodes)[:, picked]
    tpose = world[0] if tpose_first else _made_tpose(nodes.bones[picked])
    world = world[1:] if tpose_first else world
    relative = world @ tpose.swapaxes(-1, -2)
    local = local_rotations(torch.from_numpy(relative)).numpy()
    return MotionClip(name, local.astype(np.float32), fps)


def _world(nodes: Nodes) -> Float[np.ndarray, "T N 3 3"]:
    world = nodes.local.copy()
    for node, parent in enumerate(nodes.parents):
        if parent >= 0:
            world[:, node] = world[:, parent] @ nodes.local[:, node]
    return world


def _made_tpose(bones: Float[np.ndarray, "24 3"]) -> Float[np.ndarray, "24 3 3"]:
    tpose = np.tile(np.eye(3), (len(JOINTS), 1, 1))
    for side in ("left", "right"):
        thigh = bones[JOINTS.index(f"{side}_hip")]
        straight = Rotation.align_vectors(_DOWN[None], thigh[None] / np.linalg.norm(thigh))[0]
        for part in _LEGS:
            tpose[JOINTS.index(f"{side}_{part}")] = straight.as_matrix()
    return tpose
