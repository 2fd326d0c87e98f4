"""A motion clip, which every reader of a file format returns.

Letters: **T** frames, **J** = 24 SMPL joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from src.motion.body.skeleton import PREDICTED

FPS = 60.0  # of all training and evaluation


@dataclass(frozen=True)
class Origin:
    """How a file's skeleton was understood, for people to check.

    Args:
        dialect: the kind of skeleton.
        nodes: SMPL joint -> the file's joint; those that the file lacks are not in it.
        turned: SMPL joint -> degrees that the rest pose was turned to become the T-pose.
    """

    dialect: str
    nodes: Mapping[str, str]
    turned: Mapping[str, float]


@dataclass(frozen=True)
class MotionClip:
    """One recording.

    Args:
        name: of its file, for messages and titles.
        rotations: (T, 24, 3, 3), local rotations, identity in the T-pose.
        fps: frames per second.
        origin: how the file's skeleton was understood; None where it is SMPL's own.
    """

    name: str
    rotations: Float[np.ndarray, "T 24 3 3"]
    fps: float
    origin: Origin | None = None

    @property
    def predicted(self) -> Float[np.ndarray, "T 15 3 3"]:
        """The fifteen joints that are forecast."""
        return self.rotations[:, PREDICTED]

    def __len__(self) -> int:
        return len(self.rotations)
