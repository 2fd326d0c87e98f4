"""From local joint rotations to global ones and to joint positions, along the SMPL tree.

Letters: **J** = 24 joints.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.skeleton import JOINTS, OFFSETS, PARENTS, PREDICTED


def global_rotations(local: Float[Tensor, "*n 24 3 3"]) -> Float[Tensor, "*n 24 3 3"]:
    """Every joint's rotation in the world: the product of local ones from the root to the joint."""
    chain = [local[..., 0, :, :]]
    for joint in range(1, len(JOINTS)):
        chain.append(chain[PARENTS[joint]] @ local[..., joint, :, :])
    return torch.stack(chain, -3)


def local_rotations(world: Float[Tensor, "*n 24 3 3"]) -> Float[Tensor, "*n 24 3 3"]:
    """The inverse of `global_rotations`."""
    parents = world[..., list(PARENTS[1:]), :, :]
    return torch.cat([world[..., :1, :, :], parents.mT @ world[..., 1:, :, :]], -3)


def positions(world: Float[Tensor, "*n 24 3 3"]) -> Float[Tensor, "*n 24 3"]:
    """Joint positions from global rotations, in thigh lengths, root at the origin, y up."""
    offsets = torch.as_tensor(OFFSETS, dtype=world.dtype, device=world.device)
    points = [torch.zeros_like(world[..., 0, :, 0])]
    for joint in range(1, len(JOINTS)):
        parent = PARENTS[joint]
        points.append(points[parent] + world[..., parent, :, :] @ offsets[joint])
    return torch.stack(points, -2)


def fill_joints(predicted: Float[Tensor, "*n 15 3 3"]) -> Float[Tensor, "*n 24 3 3"]:
    """All 24 joints: the fifteen predicted ones as given, the root and the rest at identity."""
    eye = torch.eye(3, dtype=predicted.dtype, device=predicted.device)
    full = eye.expand(*predicted.shape[:-3], len(JOINTS), 3, 3).clone()
    full[..., list(PREDICTED), :, :] = predicted
    return full
