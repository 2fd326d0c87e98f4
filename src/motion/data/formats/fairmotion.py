"""fairmotion's prepared windows: a pickle (sources, targets), two lists of one array per window.

Each source is (120, 24 M), each target (24, 24 M), float64, with M = 3, 4 or 9 channels per joint,
which the width tells. Quaternions are in the order xyzw, which is checked.
"""

from __future__ import annotations

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
        InputError: unreadable, of an unknown width, or in another quaternion order.
    """
    path = folder / FILES[split]
    content = read_arrays(path)
    if not isinstance(content, tuple) or len(content) != 2 or len(content[0]) != len(content[1]):
        raise InputError(f"{path}: expected a pair of lists, sources and targets, of equal length")
    windows = [_window(parts, path) for parts in zip(*content, strict=True)]
    return [MotionClip(f"{split} {n}", rotations, FPS) for n, rotations in enumerate(windows)]


def _window(parts: tuple[object, object], path: Path) -> np.ndarray:
    frames = np.concatenate([float_array(part, path, "a window") for part in parts])
    if frames.ndim != 2 or frames.shape[1] not in _WIDTHS:
        known = ", ".join(f"{width} ({name})" for width, name in _WIDTHS.items())
        raise InputError(f"{path}: expected windows (frames, {known}), got {frames.shape}")
    pose_format = PoseFormat(_WIDTHS[frames.shape[1]], "all", "xyzw")
    pose = torch.from_numpy(frames).unflatten(1, (len(JOINTS), -1))
    if pose_format.representation == "quaternion":
        check_xyzw(pose, str(path))
    return fill_joints(pose_format.decode(pose)).float().numpy()
