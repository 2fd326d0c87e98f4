"""Clips at 60 frames per second.

From a whole multiple of that rate frames are picked, which is exact. From any other rate the
rotations between two frames are interpolated on the sphere (slerp).
"""

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from src.common.errors import InputError
from src.motion.body.clip import FPS, MotionClip


def resample(clip: MotionClip) -> MotionClip:
    """The clip from its first frame to the last one that fits.

    Raises:
        InputError: its rate is below 1 Hz, or no finite number.
    """
    if not 1 <= clip.fps < np.inf:
        raise InputError(
            f"{clip.name}: expected at least 1 frame a second, to make {FPS:.0f} of them, got "
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
