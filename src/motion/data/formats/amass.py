"""AMASS npz files: axis-angle poses of SMPL (24 joints) or SMPL-H (22 and the fingers)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.clip import MotionClip
from src.motion.body.skeleton import JOINTS

RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")  # both spellings are in use
BODY = 22  # joints that SMPL and SMPL-H share; the last two of SMPL, its hands, SMPL-H lacks
_SMPL_WIDTH = len(JOINTS) * 3
_SMPL_H_WIDTH = 156


def read_amass(path: Path, fps: float | None = None) -> MotionClip:
    """Read one file.

    Args:
        path: the file.
        fps: frames per second, if the file does not say it.

    Raises:
        InputError: unreadable, no 'poses', another width, or no frame rate.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            content = {key: file[key] for key in ("poses", *RATE_KEYS) if key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"{path}: expected an npz of arrays, could not read it ({error})"
        ) from None
    if "poses" not in content:
        raise InputError(f"{path}: expected an array 'poses', found none")
    poses = content["poses"]
    if poses.ndim != 2 or poses.shape[1] not in (_SMPL_WIDTH, _SMPL_H_WIDTH) or not len(poses):
        raise InputError(
            f"{path}: 'poses' must be (frames, {_SMPL_WIDTH} or {_SMPL_H_WIDTH}), got {poses.shape}"
        )
    return MotionClip(path.stem, _rotations(poses), _rate(content, fps, path))


def _rotations(poses: np.ndarray) -> np.ndarray:
    joints = len(JOINTS) if poses.shape[1] == _SMPL_WIDTH else BODY
    vectors = np.zeros((len(poses), len(JOINTS), 3))
    vectors[:, :joints] = poses[:, : joints * 3].reshape(len(poses), joints, 3)
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    return matrices.reshape(len(poses), len(JOINTS), 3, 3).astype(np.float32)


def _rate(content: dict[str, np.ndarray], fps: float | None, path: Path) -> float:
    stated = [float(content[key]) for key in RATE_KEYS if key in content] or [fps]
    if stated[0] is None or not stated[0] > 0:
        raise InputError(
            f"{path}: expected a positive frame rate in {' or '.join(RATE_KEYS)}, found "
            f"{stated[0]}; give FPS"
        )
    return stated[0]
