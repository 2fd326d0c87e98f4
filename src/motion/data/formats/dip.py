"""Raw DIP synthetic files: a pickle {'poses': (T, 135)}, fifteen joints, 60 Hz, no root."""

import pickle
from pathlib import Path

import numpy as np
import torch

from src.common.errors import InputError
from src.common.files import write_atomically
from src.motion.body.clip import FPS, MotionClip
from src.motion.body.kinematics import fill_joints
from src.motion.body.skeleton import PREDICTED
from src.motion.data.formats.pickles import float_array, read_arrays

WIDTH = len(PREDICTED) * 9
ROTATION_TOLERANCE = 1e-2  # of R R^T - 1: wide enough for float16, far too narrow for axis-angle


def read_dip(path: Path) -> MotionClip:
    """Read one file.

    Raises:
        InputError: the file is unreadable, 'poses' is missing or not 135 wide, or its matrices are
            not rotations.
    """
    content = read_arrays(path)
    if not isinstance(content, dict) or "poses" not in content:
        keys = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: expected a dict with 'poses', found {keys}")
    poses = float_array(content["poses"], path, "'poses'")
    if poses.ndim != 2 or poses.shape[1] != WIDTH or not len(poses):
        raise InputError(f"{path}: 'poses' must be (frames, {WIDTH}), found {poses.shape}")
    with np.errstate(over="ignore", invalid="ignore"):  # values may be far from a rotation's
        matrices = poses.astype(np.float32).reshape(-1, len(PREDICTED), 3, 3)
        skew = np.abs(matrices @ matrices.swapaxes(-1, -2) - np.eye(3)).max()
    if not skew <= ROTATION_TOLERANCE:
        raise InputError(
            f"{path}: expected 'poses' to hold 3x3 rotations row by row, found matrices that are "
            f"off by up to {skew:.2g}; write rotation matrices, neither angles nor scaled ones"
        )
    if mirrored := int((np.linalg.det(matrices) < 0).sum()):
        raise InputError(
            f"{path}: expected 'poses' to hold rotations, found reflections (determinant -1), "
            f"{mirrored} of {len(matrices) * len(PREDICTED)}; turn axes to a right-handed system"
        )
    return MotionClip(path.stem, fill_joints(torch.from_numpy(matrices)).numpy(), FPS)


def write_dip(path: Path, clip: MotionClip) -> None:
    """Write the fifteen predicted joints of a clip at 60 Hz in the same format."""
    assert clip.fps == FPS, "the format has no field for another frame rate"
    poses = clip.predicted.reshape(len(clip), WIDTH).astype(np.float32)
    content = pickle.dumps({"poses": poses}, protocol=2)
    write_atomically(path, lambda file: file.write_bytes(content))
