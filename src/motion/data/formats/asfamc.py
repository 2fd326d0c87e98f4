"""ASF/AMC: Acclaim's skeleton and its motion, as CMU ships them.

- A bone's motion M is given about the bone's own axes. In the parent's frame it is C M C^-1, where
  C is the orientation of those axes in the zero pose.
- The files have no field for the frame rate. fairmotion leaves it unset; here it must be given.
"""

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.clip import MotionClip
from src.motion.data.formats.retarget import Nodes, to_smpl
from src.motion.data.formats.text import lines_of

CMU_FPS = 120.0  # of nearly all trials of mocap.cs.cmu.edu
_RADIANS = "{}: expected angles in degrees, found radians; export it again in degrees"


@dataclass
class _Bone:
    end: np.ndarray  # relative to the bone's beginning, where the bone above ends
    axes: np.ndarray
    channels: list[str]  # values of a frame, in the order of the file: rx, ry, rz turn the bone
    parent: str | None = None

    @property
    def turns(self) -> str:
        """The axes that the bone turns about, in the order of the file."""
        return "".join(self.channels[k][1:] for k in self.columns)

    @property
    def columns(self) -> list[int]:
        """Which of the values are angles; the rest, such as the root's position, are not used."""
        return [k for k, name in enumerate(self.channels) if name.startswith("r")]


def read_asfamc(path: Path, fps: float | None) -> MotionClip:
    """Read one .amc file at `fps` frames per second; CMU's rate is `CMU_FPS`.

    The .asf file beside it has the same name, or the part of that name before a "_": HDM_bd.asf is
    the skeleton of HDM_bd_01-01_01_120.amc.

    Raises:
        InputError: a file is missing or truncated, frames are missing or not in order, a value is
            not a finite number, angles are in radians, a joint is missing, or there is no rate.
    """
    if fps is None:
        raise InputError(
            f"{path}: AMC files do not hold their frame rate; give FPS (CMU: {CMU_FPS:g})"
        )
    starts = [*accumulate(path.stem.split("_"), "{}_{}".format)]
    beside = [path.with_name(start + end) for start in starts[::-1] for end in (".asf", ".ASF")]
    found = [file for file in beside if file.is_file()]
    if not found:
        raise InputError(f"{beside[-2]}: expected a motion's .asf beside its .amc, found no file")
    bones = _read_asf(found[0])
    frames = _read_amc(path, bones)
    names = list(bones)
    above = [bone.parent for bone in bones.values()]
    local = np.tile(np.eye(3), (len(frames["root"]), len(names), 1, 1))
    for name, degrees in frames.items():
        axes = bones[name].axes
        motion = Rotation.from_euler(bones[name].turns, degrees, degrees=True).as_matrix()
        local[:, names.index(name)] = axes @ motion @ axes.T
    parents = [names.index(parent) if parent else -1 for parent in above]
    offsets = np.stack([bones[parent].end if parent else np.zeros(3) for parent in above])
    return to_smpl(Nodes(names, parents, local, offsets), False, fps, path)


def _read_asf(path: Path) -> dict[str, _Bone]:
    """The bones by name, each after its parent; the root, which has no length, is "root"."""
    # For each section, its rows of words.
    sections: dict[str, list[list[str]]] = {}
    for line in lines_of(path):
        words = line.split("#")[0].split()
        if words and words[0].startswith(":"):
            rows = sections.setdefault(words[0].lower(), [])
        elif words and sections:
            rows.append(words)
    units = {row[0].lower(): row[1:] for row in sections.get(":units", [])}
    if " ".join(units.get("angle", [])).lower().startswith("rad"):
        raise InputError(_RADIANS.format(path))
    # The root has a section of its own; :hierarchy has the tree.
    try:
        root = {row[0].lower(): row[1:] for row in sections[":root"]}
        axes = Rotation.from_euler(root["axis"][0].lower(), _floats(root["orientation"]), True)
        bones = {"root": _Bone(np.zeros(3), axes.as_matrix(), _channels(root["order"]))}
        if not bones["root"].turns:
            raise ValueError("rotations of the root")
        _hang(bones, _bones(sections[":bonedata"]), sections[":hierarchy"])
    except (KeyError, ValueError, IndexError) as error:
        lacking = "a number" if isinstance(error, IndexError) else error
        raise InputError(
            f"{path}: expected an ASF skeleton with :root, :bonedata and :hierarchy, found one "
            f"without {lacking}; it is truncated, or not ASF"
        ) from None
    return bones


def _bones(rows: list[list[str]]) -> dict[str, _Bone]:
    bones: dict[str, _Bone] = {}
    fields: dict[str, list[str]] = {}
    for row in rows:
        match [row[0].lower(), *row[1:]]:
            case ["begin"]:
                fields = {}
            case ["end"]:
                axes = Rotation.from_euler(
                    fields["axis"][3].lower(), _floats(fields["axis"][:3]), degrees=True
                )
                channels = _channels(fields.get("dof", []))
                end = np.array(_floats(fields["direction"])) * _floats(fields["length"])[0]
                bones[fields["name"][0]] = _Bone(end, axes.as_matrix(), channels)
            case [key, *values]:
                fields[key] = values
    return bones


def _hang(bones: dict[str, _Bone], found: dict[str, _Bone], rows: list[list[str]]) -> None:
    """Add the bones that hang on the root, parents first, whatever the order of the rows."""
    above = ["root"]
    for parent in above:  # children are appended to it below
        for child in (name for row in rows if row[0] == parent for name in row[1:]):
            if child in bones:
                raise ValueError(f"one parent of {child}")
            bones[child] = replace(found[child], parent=parent)
            above.append(child)


def _channels(words: list[str]) -> list[str]:
    names = [word.lower() for word in words]
    turns = [name[1:] for name in names if name.startswith("r")]
    if len(turns) > 3 or any(a == b for a, b in pairwise(turns)) or not set(turns) <= set("xyz"):
        raise ValueError("at most three turns about x, y or z, none about the axis before")
    return names


def _read_amc(path: Path, bones: dict[str, _Bone]) -> dict[str, np.ndarray]:
    """For each bone that can turn, its angles in degrees: (frames, axes that it turns about)."""
    frames: list[dict[str, list[float]]] = []
    numbers: list[int] = []  # the frames' numbers in the file
    for number, line in enumerate(lines_of(path), 1):
        words = line.split()
        if words and words[0].lower() == ":radians":
            raise InputError(_RADIANS.format(path))
        if not words or words[0][0] in "#:":
            continue
        try:
            if words[0].isdigit() and len(words) == 1:
                frames.append({})
                numbers.append(int(words[0]))
            else:
                frames[-1][words[0]] = _floats(words[1:])
        except (ValueError, IndexError):
            raise InputError(
                f"{path}, line {number}: expected a frame's number, or a bone and its angles, "
                f"found {line!r}"
            ) from None
    if not frames:
        raise InputError(f"{path}: expected frames, found none; it is truncated, or not AMC")
    _check_frames(numbers, frames, bones, path)
    turning = {name: bone.columns for name, bone in bones.items() if bone.turns}
    return {
        name: np.array([frame[name] for frame in frames])[:, columns]
        for name, columns in turning.items()
    }


def _check_frames(
    numbers: list[int], frames: list[dict[str, list[float]]], bones: dict[str, _Bone], path: Path
) -> None:
    """Refuse frames that are out of order or lack values of a bone that can move."""
    for number, following in pairwise(numbers):
        if following != number + 1:
            raise InputError(
                f"{path}: expected frame {number + 1} after frame {number}, found {following}; cut "
                "the file in two there"
            )
    moving = {name: len(bone.channels) for name, bone in bones.items() if bone.channels}
    for number, frame in zip(numbers, frames, strict=True):
        for name, width in moving.items():
            if len(frame.get(name, [])) != width:
                raise InputError(
                    f"{path}: frame {number} of {len(frames)}: expected {width} values of "
                    f"{name!r}, found {len(frame.get(name, []))}; it is truncated, or for another "
                    "skeleton"
                )


def _floats(words: list[str]) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:  # a word, or a decimal with a comma
        numbers = [np.nan]
    if not np.isfinite(numbers).all():
        raise ValueError(f"finite numbers in {' '.join(words)!r}")
    return numbers
