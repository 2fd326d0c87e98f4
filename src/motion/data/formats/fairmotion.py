"""fairmotion's prepared windows: a pickle (sources, targets), two lists of arrays per window.

Each source is (120, 24 * M), each target (24, 24 * M), float64, M = 3, 4 or 9 channels per joint.
The file does not say which quaternion order it is in, so it must be said, and is checked.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from src.motion.formats.pickles import float_array, read_arrays
from torch import Tensor

from src.common.errors import InputError
from src.common.files import write_atomically
from src.motion.body.pose_space import CHANNELS, PoseFormat
from src.motion.body.rotations import check_order
from src.motion.body.skeleton import JOINTS


def write_windows(
    path: Path, rotations: Float[Tensor, "B T 24 3 3"], pose_format: PoseFormat, seed: int
) -> None:
    """Write windows, the first `seed` frames of each as source, the rest as target."""
    encoded = [pose_format.encode(window.double()).flatten(1).numpy() for window in rotations]
    content = ([w[:seed] for w in encoded], [w[seed:] for w in encoded])
    write_atomically(path, lambda file: file.write_bytes(pickle.dumps(content, protocol=2)))


def read_windows(path: Path, pose_format: PoseFormat) -> Float[Tensor, "B T J M"]:
    """Read windows, sources and targets joined.

    Args:
        path: the pickle.
        pose_format: what it holds; all 24 joints.

    Raises:
        InputError: unreadable, of another width, or plainly in another quaternion order.
    """
    content = read_arrays(path)
    if not isinstance(content, tuple) or len(content) != 2 or len(content[0]) != len(content[1]):
        raise InputError(f"{path}: expected a pair of lists, sources and targets, of equal length")
    width = len(JOINTS) * pose_format.channels
    windows = []
    for source, target in zip(*content, strict=True):
        window = np.concatenate([float_array(part, path, "a window") for part in (source, target)])
        if window.shape[1] != width:
            known = {len(JOINTS) * m: name for name, m in CHANNELS.items()}
            raise InputError(
                f"{path}: expected {width} channels ({pose_format.representation}), got "
                f"{window.shape[1]} ({known.get(window.shape[1], 'unknown')})"
            )
        windows.append(torch.from_numpy(window).unflatten(1, (len(JOINTS), -1)))
    joined = torch.stack(windows)
    if pose_format.representation == "quaternion":
        check_order(joined, pose_format.quaternion_order, str(path))
    return joined
