"""Clips at another frame rate, by rotation.

At a whole multiple of the target rate frames are picked, which is exact; at any other rate the
rotations between frames are interpolated on the sphere (slerp), never dropped or averaged.
"""

from __future__ import annotations

import numpy as np
import roma
import torch

from src.common.errors import InputError
from src.motion.body.clip import FPS, MotionClip


def resample(clip: MotionClip, fps: float = FPS) -> MotionClip:
    """The clip at `fps` frames per second, from its first frame to the last one that fits.

    Raises:
        InputError: a rate is not positive and finite.
    """
    for rate in (clip.fps, fps):
        if not 0 < rate < np.inf:
            raise InputError(f"{clip.name}: cannot resample from {clip.fps} to {fps} Hz")
    ratio = clip.fps / fps
    if abs(ratio - round(ratio)) < 1e-6:
        return MotionClip(clip.name, clip.rotations[:: round(ratio)], fps)
    count = int((len(clip) - 1) / ratio + 1e-6) + 1
    instants = np.arange(count) * ratio  # in frames of the original
    before = np.minimum(instants.astype(int), max(len(clip) - 2, 0))
    after = np.minimum(before + 1, len(clip) - 1)
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(clip.rotations).double())
    share = torch.from_numpy(instants - before)[:, None].expand(-1, quaternions.shape[1])
    between = _slerp(quaternions[before], quaternions[after], share)
    return MotionClip(clip.name, roma.unitquat_to_rotmat(between).float().numpy(), fps)


def _slerp(a: torch.Tensor, b: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Frame-wise spherical interpolation the shorter way round."""
    # a exp(share * log(a^-1 b)), with the relative rotation no longer than pi.
    step = roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(a), b))
    return roma.quat_product(a, roma.rotvec_to_unitquat(share[..., None] * step))
