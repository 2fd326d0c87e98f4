"""BVH files: any skeleton of joint_names.py, any channel order, as various programs write them.

Channel names and keywords may be in upper or lower case. MOTION may have blank lines, a frame count
that is off by one, and a frame time in milliseconds if the number cannot be a rate. Anything else
that is wrong is refused in one sentence that names the file, the line and the cause.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.common.news import say
from src.motion.body.clip import MotionClip
from src.motion.data.formats.retarget import Nodes, to_smpl
from src.motion.data.formats.text import lines_of

_TPOSE_ZEROS = 0.8  # the first frame is a T-pose if a larger share of its angles is 0
_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("rotation", "position")}
_SLOWEST = 1.0  # seconds; a longer frame time is in milliseconds
_RATES = (24, 25, 30, 48, *range(50, 1001))  # frame times that may be rates by mistake

Line = tuple[int, str]  # its number in the file, from 1


@dataclass
class _Header:
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)


def read_bvh(path: Path) -> MotionClip:
    """Read one file.

    Converters insert a rest pose as the first frame, with nearly all angles exactly 0. That frame
    is left out, and the T-pose is made from it; in other files, from the pose without rotations.

    Raises:
        InputError: the file is not BVH or is truncated; it lacks frames, joints or a usable frame
            time; a value is not a finite number; or the rest pose is far from a T-pose.
    """
    lines = [(n, line.strip()) for n, line in enumerate(lines_of(path), 1) if line.strip()]
    start = next((k for k, (_, line) in enumerate(lines) if line.upper() == "MOTION"), None)
    if start is None:
        raise InputError(
            f"{path}: expected a MOTION section, found none; it is truncated, or not BVH"
        )
    header = _read_header(lines[:start], path)
    count, fps = _read_rate(lines[start + 1 : start + 3], path)
    frames = lines[start + 3 :]
    if not frames:
        raise InputError(
            f"{path}, line {lines[-1][0]}: expected frames after {lines[-1][1]!r}, found none; "
            "export the motion again"
        )
    values = _read_frames(frames, count, sum(map(len, header.channels)), path)
    local, angles = _rotations(header, values)
    largest = np.abs(angles).max(initial=0)
    if 0 < largest <= 2 * np.pi:
        say(
            f"{path}: expected angles in degrees, found none beyond {largest:.1f}: they may be in "
            "radians; if the body should move more than that, export it again in degrees"
        )
    nodes = Nodes(header.names, header.parents, local, np.array(header.offsets))
    return to_smpl(nodes, _begins_with_tpose(angles), fps, path)


def _begins_with_tpose(angles: np.ndarray) -> bool:
    """True if nearly all angles of frame 0 are exactly 0, also among those that change later.

    A face or fingers that never move are 0 in every frame and say nothing about frame 0.
    """
    zero, changing = angles[0] == 0, (angles != angles[0]).any(0)
    shares = [part.mean() for part in (zero, zero[changing]) if part.size]
    return bool(min(shares, default=0.0) > _TPOSE_ZEROS)


def _read_header(lines: list[Line], path: Path) -> _Header:
    header, open_nodes, in_site = _Header(), [], False
    for number, line in lines:
        key, *words = line.split()
        try:
            match key.upper():
                case "ROOT" if header.names:
                    raise ValueError("expected one ROOT, found a second body; save each by itself")
                case "ROOT" | "JOINT":
                    header.parents.append(open_nodes[-1] if open_nodes else -1)
                    header.names.append(" ".join(words).rstrip(" {"))  # a { may be on this line
                    open_nodes.append(len(header.names) - 1)
                case "END":
                    in_site = True
                case "}" if in_site:
                    in_site = False
                case "}":
                    if not open_nodes:
                        raise ValueError("expected as many } as {, found one more")
                    open_nodes.pop()
                case "OFFSET" if not in_site:
                    header.offsets.append(_point(words))
                case "CHANNELS":
                    header.channels.append(_channels(words))
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {line!r}: {error}") from None
    if open_nodes:  # joints after the missing } would hang on the wrong joint
        raise InputError(
            f"{path}: expected as many }} as {{, found {len(open_nodes)} fewer; export it again"
        )
    if not header.names or not len(header.names) == len(header.channels) == len(header.offsets):
        raise InputError(
            f"{path}: expected OFFSET and CHANNELS of every joint, found {len(header.names)} "
            f"joints, {len(header.offsets)} OFFSET and {len(header.channels)} CHANNELS; "
            "export it again"
        )
    return header


def _point(words: list[str]) -> list[float]:
    point = [float(word) for word in words]
    if len(point) != 3 or not np.isfinite(point).all():
        raise ValueError("expected three finite numbers")
    return point


def _channels(words: list[str]) -> list[str]:
    names = [word.lower() for word in words[1:]]
    if words[:1] != [str(len(names))]:
        raise ValueError("expected as many channel names as the number in front says")
    if unknown := [name for name in names if name not in _CHANNELS]:
        raise ValueError(f"expected channels such as Xposition or Zrotation, not {unknown[0]}")
    axes = [name[0] for name in names if name.endswith("rotation")]
    if len(axes) > 3 or any(axis == following for axis, following in pairwise(axes)):
        raise ValueError("expected at most three rotations, none about the axis of the one before")
    return names


def _read_rate(lines: list[Line], path: Path) -> tuple[int, float]:
    """The number of frames that the file states, and frames per second."""
    spaced = (" ".join(line.lower().split()) for _, line in lines)  # some programs write tabs
    fields = dict(line.split(":", 1) for line in spaced if ":" in line)
    try:
        count, seconds = int(fields["frames"]), float(fields["frame time"])
    except (KeyError, ValueError):
        found = [line for _, line in lines]
        raise InputError(
            f"{path}: expected MOTION to begin with 'Frames:' and 'Frame Time:', found {found}"
        ) from None
    if not 0 < seconds < np.inf:
        raise InputError(f"{path}: expected a positive Frame Time in seconds, found {seconds:g}")
    if seconds in _RATES:
        raise InputError(
            f"{path}: expected a Frame Time in seconds, found {seconds:g}, which may be "
            f"milliseconds or frames a second; if the latter, write {1 / seconds:.6g}"
        )
    fps = 1 / (seconds / 1000 if seconds > _SLOWEST else seconds)
    # Frame times are printed with few digits: .0083333 is 120 Hz, not 120.0005.
    return count, float(round(fps)) if abs(fps / max(1, round(fps)) - 1) < 1e-3 else fps


def _read_frames(lines: list[Line], count: int, width: int, path: Path) -> np.ndarray:
    rows = [line.split() for _, line in lines]
    whole = sum(len(row) == width for row in rows)
    if abs(len(rows) - count) > 1 or whole < len(rows):
        raise InputError(
            f"{path}: expected {count} frames of {width} values, found {whole} such frames in "
            f"{len(rows)} lines; the file is truncated"
        )
    values = np.empty((len(rows), width))
    for row, (number, _) in enumerate(lines):
        try:
            values[row] = rows[row]
        except ValueError as error:
            raise InputError(f"{path}, line {number}: expected numbers: {error}") from None
        if not np.isfinite(values[row]).all():
            bad = int(np.argmin(np.isfinite(values[row])))
            raise InputError(
                f"{path}, line {number}: expected finite numbers, value {bad + 1} is "
                f"{rows[row][bad]}; leave the frame out, or fill it in"
            )
    return values


def _rotations(header: _Header, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations (T, N, 3, 3), and the file's angles in degrees (T, rotation channels)."""
    local = np.tile(np.eye(3), (len(values), len(header.names), 1, 1))
    start, turning = 0, []
    for node, names in enumerate(header.channels):
        columns = [start + k for k, name in enumerate(names) if name.endswith("rotation")]
        axes = "".join(name[0].upper() for name in names if name.endswith("rotation"))
        if axes:
            angles = values[:, columns]
            local[:, node] = Rotation.from_euler(axes, angles, degrees=True).as_matrix()
        turning += columns
        start += len(names)
    return local, values[:, turning]
