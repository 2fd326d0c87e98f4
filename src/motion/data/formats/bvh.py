"""BVH files of CMU's motion capture, in both dialects of joint names and any channel order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.clip import MotionClip
from src.motion.data.formats.retarget import Nodes, to_smpl

_TPOSE_ZEROS = 0.8  # a first frame with a larger share of angles that are exactly 0 is a T-pose


@dataclass
class _Header:
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)
    tips: dict[int, list[float]] = field(default_factory=dict)  # offset of a node's first child


def read_bvh(path: Path) -> MotionClip:
    """Read one file.

    Converters insert a T-pose as the first frame, whose angles are nearly all exactly 0. Where that
    frame is missing, the T-pose is made from the zero pose.

    Raises:
        InputError: not BVH, truncated, without a usable frame time, or with missing joints.
    """
    lines = path.read_text(encoding="latin1").split("\n")
    try:
        motion = next(n for n, line in enumerate(lines) if line.strip() == "MOTION")
    except StopIteration:
        raise InputError(
            f"{path}: expected a MOTION section, found none; it is truncated, or not BVH"
        ) from None
    header = _read_header(lines[:motion], path)
    values, fps = _read_frames(lines[motion + 1 :], sum(map(len, header.channels)), path)
    local, angles = _rotations(header, values)
    tpose_first = bool(np.mean(angles[0] == 0) > _TPOSE_ZEROS)
    bones = np.array([header.tips.get(n, offset) for n, offset in enumerate(header.offsets)])
    nodes = Nodes(header.names, header.parents, local, bones)
    return to_smpl(nodes, tpose_first, fps, path.stem, str(path))


def _read_header(lines: list[str], path: Path) -> _Header:
    header, open_nodes, in_site = _Header(), [], False
    for number, line in enumerate(lines, 1):
        words = line.split()
        try:
            match words:
                case ["ROOT" | "JOINT", name]:
                    header.parents.append(open_nodes[-1] if open_nodes else -1)
                    header.names.append(name)
                    open_nodes.append(len(header.names) - 1)
                case ["End", "Site"]:
                    in_site = True
                case ["}"]:
                    if not in_site:
                        open_nodes.pop()
                    in_site = False
                case ["OFFSET", *xyz]:
                    offset = [float(x) for x in xyz]
                    if in_site:
                        header.tips.setdefault(open_nodes[-1], offset)
                    else:
                        header.offsets.append(offset)
                        header.tips.setdefault(header.parents[-1], offset)
                case ["CHANNELS", count, *names] if int(count) == len(names):
                    header.channels.append(names)
                case ["CHANNELS", *_]:
                    raise ValueError("expected as many names of channels as the number says")
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}, line {number}: {line.strip()!r}: {error}") from None
    if not header.names or not len(header.names) == len(header.channels) == len(header.offsets):
        raise InputError(
            f"{path}: expected OFFSET and CHANNELS of every joint, found {len(header.names)} "
            f"joints, {len(header.offsets)} OFFSET and {len(header.channels)} CHANNELS"
        )
    return header


def _read_frames(lines: list[str], width: int, path: Path) -> tuple[np.ndarray, float]:
    fields = dict(line.split(":", 1) for line in lines[:2] if ":" in line)
    try:
        count, seconds = int(fields["Frames"]), float(fields["Frame Time"])
    except (KeyError, ValueError):
        raise InputError(
            f"{path}: expected MOTION to begin with 'Frames:' and 'Frame Time:', found {lines[:2]}"
        ) from None
    if not seconds > 0:
        raise InputError(f"{path}: expected a positive Frame Time in seconds, got {seconds:g}")
    rows = [line.split() for line in lines[2:] if line.strip()]
    if len(rows) != count or any(len(row) != width for row in rows):
        whole = sum(len(row) == width for row in rows)
        raise InputError(
            f"{path}: expected {count} frames of {width} values, found {whole} such frames in "
            f"{len(rows)} lines; the file is truncated"
        )
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path}: expected numbers in MOTION: {error}") from None
    fps = 1 / seconds
    # Frame times are printed with few digits: .0083333 is 120 Hz, not 120.0005.
    return values, float(round(fps)) if abs(fps / round(fps) - 1) < 1e-3 else fps


def _rotations(header: _Header, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations (T, N, 3, 3), and the file's angles in degrees (T, rotation channels)."""
    local = np.tile(np.eye(3), (len(values), len(header.names), 1, 1))
    start, turning = 0, []
    for node, names in enumerate(header.channels):
        columns = [start + k for k, name in enumerate(names) if name.endswith("rotation")]
        axes = "".join(name[0] for name in names if name.endswith("rotation"))
        if axes:
            angles = values[:, columns]
            local[:, node] = Rotation.from_euler(axes, angles, degrees=True).as_matrix()
        turning += columns
        start += len(names)
    return local, values[:, turning]
