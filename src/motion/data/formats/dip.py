"""Raw DIP synthetic files: a pickle {'poses': (T, 135)}, fifteen joints, 60 Hz, no root."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from src.motion.formats.pickles import float_array, read_arrays

from src.common.errors import InputError
from src.common.files import write_atomically
from src.motion.body.clip import FPS, MotionClip, with_identity
from src.motion.body.skeleton import PREDICTED

WIDTH = len(PREDICTED) * 9
ROTATION_TOLERANCE = 1e-2  # of R R^T - 1: float16 storage passes, axis-angle columns do not


def read_dip(path: Path) -> MotionClip:
    """Read one file.

    Raises:
        InputError: unreadable, no 'poses', another width than 135, or values that are no
            rotations.
    """
    content = read_arrays(path)
    if not isinstance(content, dict) or "poses" not in content:
        keys = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: expected a dict with 'poses', found {keys}")
    poses = float_array(content["poses"], path, "'poses'")
    if poses.ndim != 2 or poses.shape[1] != WIDTH or not len(poses):
        raise InputError(f"{path}: 'poses' must be (frames, {WIDTH}), got {poses.shape}")
    largest = np.abs(poses).max()
    if largest > 1 + ROTATION_TOLERANCE:  # before its square overflows
        raise InputError(
            f"{path}: 'poses' must hold 3x3 rotations row by row, found values up to {largest:.2g}"
        )
    matrices = poses.astype(np.float32).reshape(-1, len(PREDICTED), 3, 3)
    skew = np.abs(matrices @ matrices.swapaxes(-1, -2) - np.eye(3)).max()
    if skew > ROTATION_TOLERANCE:
        raise InputError(
            f"{path}: 'poses' must hold 3x3 rotations row by row, off by up to {skew:.2g}"
        )
    return MotionClip(path.stem, with_identity(matrices), FPS)


def write_dip(path: Path, clip: MotionClip) -> None:
    """Write the fifteen predicted joints in the same form; the file appears whole or not at all.

    Raises:
        InputError: the clip is not at 60 Hz, which the format has no field for.
    """
    if clip.fps != FPS:
        raise InputError(f"{clip.name}: the DIP form is {FPS:g} Hz, got {clip.fps:g}: resample it")
    poses = clip.predicted.reshape(len(clip), WIDTH).astype(np.float32)
    content = pickle.dumps({"poses": poses}, protocol=2)
    write_atomically(path, lambda file: file.write_bytes(content))
