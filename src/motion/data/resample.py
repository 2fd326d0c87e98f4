"""Clips at another frame rate.

From a whole multiple of the target rate frames are picked, which is exact. From any other rate the
rotations between two frames are interpolated on the sphere (slerp).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from src.common.errors import InputError
from src.motion.body.clip import FPS, MotionClip


def resample(clip: MotionClip, fps: float = FPS) -> MotionClip:
    """The clip at `fps` frames per second, from its first frame to the last one that fits.

    Raises:
        InputError: a rate is not positive and finite.
    """
    for rate in (clip.fps, fps):
        if not 0 < rate < np.inf:
            raise InputError(
                f"{clip.name}: expected a positive frame rate to resample, got {clip.fps} to {fps} "
                "Hz; give FPS"
            )
    ratio = clip.fps / fps
    if abs(ratio - round(ratio)) < 1e-6:
        return MotionClip(clip.name, clip.rotations[:: round(ratio)], fps)
    if len(clip) == 1:
        return MotionClip(clip.name, clip.rotations, fps)
    count = int((len(clip) - 1) / ratio + 1e-6) + 1
    instants = np.minimum(np.arange(count) / fps, (len(clip) - 1) / clip.fps)
    times = np.arange(len(clip)) / clip.fps
    joints = [Rotation.from_matrix(joint) for joint in clip.rotations.swapaxes(0, 1)]
    between = [Slerp(times, joint)(instants).as_matrix() for joint in joints]
    return MotionClip(clip.name, np.stack(between, 1).astype(np.float32), fps)
