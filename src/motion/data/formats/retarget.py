"""From another skeleton's rotations to SMPL's, by what each bone does in the world.

SMPL's rotations are identity in the T-pose. So each node's global rotation is taken relative to
its own in the T-pose, the 24 mapped nodes are picked, and locals are formed along SMPL's tree.

- Reading: a file without a T-pose frame gets one made: its zero pose with the legs turned straight
  down (CMU's zero pose spreads them by 20 degrees and is a T-pose otherwise).

Letters: **T** frames, **N** nodes of the file's own skeleton.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from src.motion.formats.joint_names import find_joints

from src.motion.body.clip import MotionClip
from src.motion.body.kinematics import local_rotations
from src.motion.body.skeleton import JOINTS

_LEGS = ("hip", "knee", "ankle", "foot")
_DOWN = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Nodes:
    """A file's own skeleton in motion.

    Args:
        names: of the nodes.
        parents: of each node, -1 = none; a parent comes before its children.
        local: (T, N, 3, 3), rotation of each node in its parent's frame.
        bones: (N, 3), direction from each node along its bone in the zero pose, any length.
    """

    names: Sequence[str]
    parents: Sequence[int]
    local: Float[np.ndarray, "T N 3 3"]
    bones: Float[np.ndarray, "N 3"]


def to_smpl(nodes: Nodes, tpose_first: bool, fps: float, name: str, where: str) -> MotionClip:
    """The motion on SMPL's 24 joints.

    Args:
        nodes: the file's skeleton and rotations.
        tpose_first: frame 0 is a T-pose, put there for reference; it is left out of the motion.
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
