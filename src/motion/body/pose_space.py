"""What a network sees of a pose: which joints, in which representation, on which scale.

- fairmotion's vectors hold all 24 joints, motion-transformer's the fifteen predicted ones.
- Quaternion order and sign continuity are fields. fairmotion uses xyzw and does not make signs
  continuous; motion-transformer uses wxyz and does.
- motion-transformer divides by the *variance*, which its authors call a bug that works better on
  AMASS; fairmotion divides by the standard deviation. Some channels never move in CMU data, where
  the originals divide by 0 or by 2e-16; here the divisor has a floor.

Letters: **T** frames, **J** joints of the format, **M** channels per joint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body import rotations as rot
from src.motion.body.clip import MotionClip
from src.motion.body.skeleton import JOINTS, MIRROR, PREDICTED

Representation = Literal["axis angle", "quaternion", "rotation matrix"]
CHANNELS: dict[Representation, int] = {"axis angle": 3, "quaternion": 4, "rotation matrix": 9}


@dataclass(frozen=True)
class PoseFormat:
    representation: Representation = "rotation matrix"
    joints: Literal["predicted", "all"] = "predicted"  # the fifteen, or all 24
    quaternion_order: rot.QuaternionOrder = "wxyz"  # where the real part is; for quaternions
    continuous_signs: bool = True  # of q and -q, use the one nearer to the frame before

    @property
    def n_joints(self) -> int:
        """How many joints are predicted, J."""
        return len(PREDICTED) if self.joints == "predicted" else len(JOINTS)

    @property
    def channels(self) -> int:
        """How many numbers describe a joint, M."""
        return CHANNELS[self.representation]

    def encode(self, rotations: Float[Tensor, "T 24 3 3"]) -> Float[Tensor, "T J M"]:
        matrices = rotations[:, PREDICTED] if self.joints == "predicted" else rotations
        match self.representation:
            case "axis angle":
                return roma.rotmat_to_rotvec(matrices)
            case "quaternion":
                quaternion = rot.matrix_to_quaternion(matrices, self.quaternion_order)
                return rot.continuous(quaternion) if self.continuous_signs else quaternion
            case "rotation matrix":
                return matrices.flatten(-2)

    def decode(self, pose: Float[Tensor, "*n J M"]) -> Float[Tensor, "*n 15 3 3"]:
        """Matrices of the fifteen predicted joints, not projected to rotations."""
        if self.joints == "all":
            pose = pose[..., PREDICTED, :]
        match self.representation:
            case "axis angle":
                return roma.rotvec_to_rotmat(pose)
            case "quaternion":
                return rot.quaternion_to_matrix(pose, self.quaternion_order)
            case "rotation matrix":
                return pose.unflatten(-1, (3, 3))


FAIRMOTION = PoseFormat("axis angle", "all", "xyzw", continuous_signs=False)
MOTION_TRANSFORMER = PoseFormat("rotation matrix", "predicted")


@dataclass(frozen=True)
class Scaling:
    divide_by: Literal["std", "variance"] = "std"
    floor: float = 0.02  # smallest divisor
    over: Literal["clips", "sources"] = "clips"  # measured on whole clips, or on windows' inputs


@dataclass(frozen=True)
class Normaliser:
    """(x - mean) / scale, per joint and channel."""

    mean: Float[Tensor, "J M"]
    scale: Float[Tensor, "J M"]

    @classmethod
    def fit(cls, frames: Float[Tensor, "N J M"], scaling: Scaling) -> Normaliser:
        """Mean and divisor over frames; NaN is not counted."""
        mean = frames.nanmean(0)
        variance = (frames - mean).square().nanmean(0)
        scale = variance.sqrt() if scaling.divide_by == "std" else variance
        return cls(mean.nan_to_num(), scale.nan_to_num().clamp(min=scaling.floor))

    def normalise(self, x: Float[Tensor, "*n J M"]) -> Float[Tensor, "*n J M"]:
        """Bring values to the scale that the network sees."""
        return (x - self.mean) / self.scale

    def restore(self, x: Float[Tensor, "*n J M"]) -> Float[Tensor, "*n J M"]:
        """Bring values back to the representation's scale."""
        return x * self.scale + self.mean

    def to(self, device: torch.device | str) -> Normaliser:
        return Normaliser(self.mean.to(device), self.scale.to(device))


@dataclass(frozen=True)
class PoseSpace:
    """What networks see, and the way back to rotations."""

    format: PoseFormat
    normaliser: Normaliser

    def decode(self, pose: Float[Tensor, "*n J M"]) -> Float[Tensor, "*n 15 3 3"]:
        """Matrices of the fifteen predicted joints, not projected to rotations."""
        return self.format.decode(self.normaliser.restore(pose))

    def reproject(self, pose: Float[Tensor, "*n J M"]) -> Float[Tensor, "*n J M"]:
        """The nearest pose whose joints are rotations; an axis-angle vector always is one."""
        raw = self.normaliser.restore(pose)
        match self.format.representation:
            case "axis angle":
                return pose
            case "quaternion":
                valid = raw / raw.norm(dim=-1, keepdim=True)
            case "rotation matrix":
                valid = rot.nearest_rotation(raw.unflatten(-1, (3, 3))).flatten(-2)
        return self.normaliser.normalise(valid)


def mirrored(clip: MotionClip) -> MotionClip:
    """The clip as seen in a mirror: left and right joints swapped, rotations reflected in x.

    S R S with S = diag(-1, 1, 1) is again a rotation, by the opposite angle about y and z.
    """
    sign = np.array([-1, 1, 1], dtype=clip.rotations.dtype)
    reflected = clip.rotations[:, MIRROR] * np.outer(sign, sign)
    return MotionClip(f"{clip.name} mirrored", reflected, clip.fps)
