"""Bars: two forecasts that need no training, and the forecast of a linear map.

A trained model that does not beat zero velocity is of no use, and one that does not beat ridge
regression has learned no more than a linear map of the last ten frames. All bars work on raw
frames, not on the networks' scale.
"""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.rotations import nearest_rotation

READ = 10  # frames that the ridge looks back
PENALTY = 3.0  # the ridge's, as for the corpus' reference numbers


def zero_velocity(seed: Float[Tensor, "B T *pose"], n: int) -> Float[Tensor, "B N *pose"]:
    """The last frame, n times."""
    return seed[:, -1:].expand(-1, n, *[-1] * (seed.dim() - 2))


def constant_velocity(seed: Float[Tensor, "B T J 3 3"], n: int) -> Float[Tensor, "B N J 3 3"]:
    """Every joint keeps turning as it did between the last two frames."""
    last, before = nearest_rotation(seed[:, -1]), nearest_rotation(seed[:, -2])
    turn = roma.rotmat_to_rotvec(last @ before.mT)
    steps = torch.arange(1, n + 1, dtype=seed.dtype, device=seed.device)
    return roma.rotvec_to_rotmat(turn[:, None] * steps[:, None, None]) @ last[:, None]


def ridge(
    windows: Float[Tensor, "W T J M"], seed: Float[Tensor, "B T2 J M"], n: int
) -> Float[Tensor, "B N J M"]:
    """Ridge regression in float64, from the last frames to all offsets of the target at once.

    Features: the last `READ` frames minus the last frame, the last frame, and 1. The weight of 1 is
    penalised like the rest. The ridge learns to predict the last n frames of training windows.
    """
    squares, products = 0.0, 0.0  # X'X and X'Y; X itself would need far more memory
    for part in windows.split(256):
        known, future = part[:, :-n].double(), part[:, -n:].double()
        x, y = _features(known), (future - known[:, -1:]).flatten(1)
        squares, products = squares + x.mT @ x, products + x.mT @ y
    weights = torch.linalg.solve(squares + PENALTY * torch.eye(len(squares)), products)
    seed = seed.double()
    offsets = _features(seed) @ weights
    return seed[:, -1:] + offsets.unflatten(1, (n, *seed.shape[2:]))


def _features(seed: Float[Tensor, "B T J M"]) -> Float[Tensor, "B F"]:
    last = seed[:, -1:]
    past = (seed[:, -READ:] - last).flatten(1)
    return torch.cat([past, last.flatten(1), torch.ones_like(past[:, :1])], 1)
