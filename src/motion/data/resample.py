"""Clips at 60 frames per second.

If a clip's rate is a whole multiple of 60, frames are picked, which is exact. At any other rate
rotations are interpolated on the sphere between two frames (slerp).
"""

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from src.common.errors import InputError
from src.motion.body.clip import FPS, MotionClip


def resample(clip: MotionClip) -> MotionClip:
    """The clip at 60 Hz, from its first frame to the last new frame within its length.

    Raises:
        InputError: the clip's rate is below 1 Hz, or not a finite number.
    """
    if not 1 <= clip.fps < np.inf:
        raise InputError(
            f"{clip.name}: expected at least 1 frame a second, to resample to {FPS:.0f}, found "
            f"{clip.fps:g}; correct the file's rate, or FPS if it states none"
        )
    ratio = clip.fps / FPS
    if abs(ratio - round(ratio)) < 1e-6:
        return MotionClip(clip.name, clip.rotations[:: round(ratio)], FPS)
    if len(clip) == 1:
        return MotionClip(clip.name, clip.rotations, FPS)
    count = int((len(clip) - 1) / ratio + 1e-6) + 1
    instants = np.minimum(np.arange(count) / FPS, (len(clip) - 1) / clip.fps)
    times = np.arange(len(clip)) / clip.fps
    joints = [Rotation.from_matrix(joint) for joint in clip.rotations.swapaxes(0, 1)]
    between = [Slerp(times, joint)(instants).as_matrix() for joint in joints]
    return MotionClip(clip.name, np.stack(between, 1).astype(np.float32), FPS)
