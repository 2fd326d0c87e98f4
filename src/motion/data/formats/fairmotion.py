"""fairmotion's prepared windows: a pickle (sources, targets), two lists of one array per window.

Each source is (120, 24 M) and each target (24, 24 M), float64. The width tells whether M is 3, 4 or
9 channels per joint. Quaternions must be in the order xyzw, which is checked.
"""

from pathlib import Path

import numpy as np
import torch

from src.common.errors import InputError
from src.motion.body.clip import FPS, MotionClip
from src.motion.body.kinematics import fill_joints
from src.motion.body.pose_space import CHANNELS, PoseFormat
from src.motion.body.rotations import check_xyzw
from src.motion.body.skeleton import JOINTS
from src.motion.data.formats.pickles import float_array, read_arrays

FILES = {"train": "train.pkl", "valid": "validation.pkl", "test": "test.pkl"}
_WIDTHS = {len(JOINTS) * channels: name for name, channels in CHANNELS.items()}


def is_prepared(folder: Path) -> bool:
    """True if a folder holds the windows of all splits."""
    return all((folder / name).is_file() for name in FILES.values())


def read_split(folder: Path, split: str) -> list[MotionClip]:
    """Read the windows of a split, a key of `FILES`, each as a clip of its own.

    Raises:
        InputError: the file is unreadable, of unknown width, or has quaternions in another order.
    """
    path = folder / FILES[split]
    content = read_arrays(path)
    pair = content if isinstance(content, tuple) and len(content) == 2 else ()
    lengths = [len(part) for part in pair if isinstance(part, list | np.ndarray)]
    if len(lengths) != 2 or lengths[0] != lengths[1]:
        raise InputError(f"{path}: expected a pair of lists, sources and targets, of equal length")
    windows = [_window(parts, path) for parts in zip(*content, strict=True)]
    return [MotionClip(f"{split} {n}", rotations, FPS) for n, rotations in enumerate(windows)]


def _window(parts: tuple[object, object], path: Path) -> np.ndarray:
    arrays = [float_array(part, path, "a window") for part in parts]
    shapes = [array.shape for array in arrays]
    width = shapes[0][-1] if shapes[0] else 0
    if width not in _WIDTHS or any(len(s) != 2 or s[1] != width for s in shapes):
        known = ", ".join(f"{width} ({name})" for width, name in _WIDTHS.items())
        found = " and ".join(map(str, shapes))
        raise InputError(f"{path}: expected windows (frames, {known}), found {found}")
    frames = np.concatenate(arrays)
    pose_format = PoseFormat(_WIDTHS[frames.shape[1]], "all", "xyzw")
    pose = torch.from_numpy(frames).unflatten(1, (len(JOINTS), -1))
    if pose_format.representation == "quaternion":
        check_xyzw(pose, str(path))
    return fill_joints(pose_format.decode(pose)).float().numpy()
