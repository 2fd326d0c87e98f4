"""A motion clip, which every reader of a file format returns.

Letters: **T** frames, **J** = 24 SMPL joints.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from src.motion.body.skeleton import PREDICTED

FPS = 60.0  # frames per second in all training and evaluation


@dataclass(frozen=True)
class Origin:
    """How a file's skeleton was understood, for people to check."""

    dialect: str  # the kind of skeleton
    nodes: Mapping[str, str]  # SMPL joint -> the file's joint; missing joints are left out
    turned: Mapping[str, float]  # SMPL joint -> degrees by which it was turned to the T-pose


@dataclass(frozen=True)
class MotionClip:
    """One recording."""

    name: str  # the file's name, for messages and titles
    rotations: Float[np.ndarray, "T 24 3 3"]  # local, identity in the T-pose
    fps: float  # frames per second
    origin: Origin | None = None  # None where the skeleton is SMPL's own

    @property
    def predicted(self) -> Float[np.ndarray, "T 15 3 3"]:
        """The fifteen joints that are forecast."""
        return self.rotations[:, PREDICTED]

    def __len__(self) -> int:
        return len(self.rotations)
