"""Honest bars: what a forecast costs nothing, or a linear map, is worth.

A trained model must beat zero velocity everywhere, and ridge regression to have learned more than
a linear map of the last ten frames. All three work on raw frames, not on the networks' scale.

Letters: **B** windows, **T** frames, **N** forecast frames, **J** joints, **M** channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle, nearest_rotation


def zero_velocity(seed: Float[Tensor, "B T *pose"], n: int) -> Float[Tensor, "B N *pose"]:
    """The last frame, n times."""
    return seed[:, -1:].expand(-1, n, *[-1] * (seed.dim() - 2))


def constant_velocity(seed: Float[Tensor, "B T J 3 3"], n: int) -> Float[Tensor, "B N J 3 3"]:
    """Every joint keeps turning as it did between the last two frames."""
    last, before = nearest_rotation(seed[:, -1]), nearest_rotation(seed[:, -2])
    turn = matrix_to_axis_angle(last @ before.mT)
    steps = torch.arange(1, n + 1, dtype=seed.dtype, device=seed.device)
    return axis_angle_to_matrix(turn[:, None] * steps[:, None, None]) @ last[:, None]


@dataclass(frozen=True)
class Ridge:
    """A linear map from the last frames to all the offsets of the target at once.

    Features: the last `frames` frames minus the last one, the last one, and 1.

    Args:
        weights: (features, N * J * M), float64.
        frames: frames it looks back.
    """

    weights: Float[Tensor, "F out"]
    frames: int

    @classmethod
    def fit(
        cls, windows: Float[Tensor, "B T J M"], target: int, frames: int = 10, penalty: float = 3.0
    ) -> Ridge:
        """Solve (X'X + penalty I) W = X'Y; the constant is penalised like the rest.

        Args:
            windows: training windows; their last `target` frames are learned.
            target: N.
            frames: frames it looks back.
            penalty: lambda; 3 is the corpus' reference.
        """
        seed, future = windows[:, :-target].double(), windows[:, -target:].double()
        x = _features(seed, frames)
        y = (future - seed[:, -1:]).flatten(1)
        gram = x.mT @ x
        gram.diagonal().add_(penalty)
        return cls(torch.linalg.solve(gram, x.mT @ y), frames)

    def __call__(self, seed: Float[Tensor, "B T J M"]) -> Float[Tensor, "B N J M"]:
        """The target's frames, float64."""
        seed = seed.double()
        offsets = (_features(seed, self.frames) @ self.weights).unflatten(1, (-1, *seed.shape[2:]))
        return seed[:, -1:] + offsets


def _features(seed: Float[Tensor, "B T J M"], frames: int) -> Float[Tensor, "B F"]:
    last = seed[:, -1:]
    past = (seed[:, -frames:] - last).flatten(1)
    return torch.cat([past, last.flatten(1), torch.ones_like(past[:, :1])], 1)
