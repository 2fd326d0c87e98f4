"""AMASS npz files: axis-angle poses of SMPL (24 joints), or of SMPL-H and SMPL-X (22 and more).

Beside the motions AMASS has a file with each person's shape, and `stagei` files from fitting the
shape. `is_shape` recognises both by name, so they are left out when a folder is read.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from src.common.errors import InputError, refusing
from src.motion.body.clip import MotionClip
from src.motion.body.skeleton import JOINTS

RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")  # both spellings are in use
BODY = 22  # joints that all three share; only SMPL has the last two, its hands
_SMPL_WIDTH = len(JOINTS) * 3
_WIDTHS = (_SMPL_WIDTH, 156, 165)  # of poses: SMPL, SMPL-H, SMPL-X


def is_shape(path: Path) -> bool:
    """True if a file of this name holds a person's shape and no motion."""
    name = path.name.lower()
    return name == "shape.npz" or name.endswith(("_shape.npz", "_stagei.npz"))


def read_amass(path: Path, fps: float | None = None) -> MotionClip:
    """Read one file; `fps` is its frame rate if the file states none that is usable.

    Raises:
        InputError: the file is unreadable, 'poses' is missing, of another width or not finite, or
            there is no frame rate.
    """
    with (
        refusing(path, "an npz of arrays", "copy it again, or leave it out"),
        path.open("rb") as raw,
        np.load(raw, allow_pickle=False) as file,
    ):
        content = {key: file[key] for key in ("poses", *RATE_KEYS) if key in file.files}
    if "poses" not in content:
        hint = "; it holds a person's shape, not a motion" if is_shape(path) else ""
        raise InputError(f"{path}: expected an array 'poses', found none{hint}")
    poses = content["poses"]
    if poses.ndim != 2 or poses.shape[1] not in _WIDTHS or not len(poses):
        raise InputError(
            f"{path}: expected 'poses' to be (frames, {' or '.join(map(str, _WIDTHS))}), found "
            f"{poses.shape}; write axis angles of SMPL, SMPL-H or SMPL-X"
        )
    if poses.dtype.kind not in "fiu":
        raise InputError(f"{path}: expected numbers as 'poses', found {poses.dtype}; write them")
    bad = np.argwhere(~np.isfinite(poses))
    if len(bad):
        frame, column = bad[0]
        raise InputError(
            f"{path}: expected finite 'poses', found {poses[frame, column]} in frame {frame}, "
            f"column {column} ({len(bad)} such values in all); leave these frames out"
        )
    joints = len(JOINTS) if poses.shape[1] == _SMPL_WIDTH else BODY
    vectors = np.zeros((len(poses), len(JOINTS), 3))
    vectors[:, :joints] = poses[:, : joints * 3].reshape(len(poses), joints, 3)
    rotations = Rotation.from_rotvec(vectors).as_matrix().astype(np.float32)
    return MotionClip(path.stem, rotations, _rate(content, fps, path))


def _rate(content: dict[str, np.ndarray], fps: float | None, path: Path) -> float:
    # Some files hold the rate as an array of one value.
    stated = [content[key].ravel().tolist() for key in RATE_KEYS if key in content]
    rates = [values[0] if len(values) == 1 else values for values in stated] + [fps]
    for rate in rates:
        if isinstance(rate, int | float) and 0 < rate < np.inf:
            return float(rate)
    raise InputError(
        f"{path}: expected a positive frame rate in {' or '.join(RATE_KEYS)}, found {rates[0]!r}; "
        "give FPS"
    )
