"""ASF/AMC: Acclaim's skeleton and its motion, as CMU ships them.

- A bone's motion M is given about the bone's own axes. In the parent's frame it is C M C^-1, where
  C is the orientation of those axes in the zero pose.
- The files have no field for the frame rate. fairmotion leaves it unset; here it must be given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.clip import MotionClip
from src.motion.data.formats.retarget import Nodes, to_smpl

CMU_FPS = 120.0  # of nearly all trials of mocap.cs.cmu.edu


@dataclass
class _Bone:
    end: np.ndarray  # from its beginning, which is the end of the bone above
    axes: np.ndarray
    turns: str  # axes that it turns about, in the order of the file
    parent: str | None = None


def read_asfamc(path: Path, fps: float | None) -> MotionClip:
    """Read one .amc file at `fps` frames per second; CMU's rate is `CMU_FPS`.

    The .asf file beside it has the part of its name before "_".

    Raises:
        InputError: a file is missing or truncated, a value is no finite number, a joint is missing,
            or there is no rate.
    """
    if fps is None:
        raise InputError(
            f"{path}: AMC files do not hold their frame rate; give FPS (CMU: {CMU_FPS:g})"
        )
    skeleton = path.with_name(path.stem.split("_")[0] + ".asf")
    if not skeleton.is_file():
        raise InputError(f"{skeleton}: expected a motion's .asf beside its .amc, found no file")
    bones = _read_asf(skeleton)
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
    # Rows of words by section.
    sections: dict[str, list[list[str]]] = {}
    for line in path.read_text(encoding="latin1").splitlines():
        words = line.split("#")[0].split()
        if words and words[0].startswith(":"):
            rows = sections.setdefault(words[0], [])
        elif words and sections:
            rows.append(words)
    # The root stands in a section of its own, and the tree in the hierarchy.
    try:
        root = {row[0]: row[1:] for row in sections[":root"]}
        turns = "".join(word[1].lower() for word in root["order"] if word[0] in "rR")
        axes = Rotation.from_euler(root["axis"][0].lower(), _floats(root["orientation"]), True)
        bones = {"root": _Bone(np.zeros(3), axes.as_matrix(), turns)}
        found = _bones(sections[":bonedata"])
        for parent, *children in (row for row in sections[":hierarchy"] if len(row) > 1):
            for child in children:
                bones[child] = replace(found[child], parent=parent)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(
            f"{path}: expected an ASF skeleton with :root, :bonedata and :hierarchy, found one "
            f"without {error}, or no number there; it is truncated, or not ASF"
        ) from None
    return bones


def _bones(rows: list[list[str]]) -> dict[str, _Bone]:
    bones: dict[str, _Bone] = {}
    for row in rows:
        match row:
            case ["begin"]:
                fields: dict[str, list[str]] = {}
            case ["end"]:
                axes = Rotation.from_euler(
                    fields["axis"][3].lower(), _floats(fields["axis"][:3]), degrees=True
                )
                turns = "".join(word[1].lower() for word in fields.get("dof", []) if word[0] == "r")
                end = np.array(_floats(fields["direction"])) * _floats(fields["length"])[0]
                bones[fields["name"][0]] = _Bone(end, axes.as_matrix(), turns)
            case [key, *values]:
                fields[key] = values
    return bones


def _read_amc(path: Path, bones: dict[str, _Bone]) -> dict[str, np.ndarray]:
    """Degrees by bone, of the bones that can turn: (frames, axes that it turns about)."""
    turning = {name: len(bone.turns) for name, bone in bones.items() if bone.turns}
    frames: list[dict[str, list[float]]] = []
    for number, line in enumerate(path.read_text(encoding="latin1").splitlines(), 1):
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        try:
            if words[0].isdigit() and len(words) == 1:
                frames.append({})
            else:
                # The root's first three values are its position, which no metric here uses.
                frames[-1][words[0]] = _floats(words[4:] if words[0] == "root" else words[1:])
        except (ValueError, IndexError):
            raise InputError(
                f"{path}, line {number}: expected a frame's number, or a bone and its angles, got "
                f"{line!r}"
            ) from None
    if not frames:
        raise InputError(f"{path}: expected frames, found none; it is truncated, or not AMC")
    # Every frame must turn every bone that the skeleton lets turn.
    for number, frame in enumerate(frames, 1):
        for name, width in turning.items():
            if len(frame.get(name, [])) != width:
                raise InputError(
                    f"{path}: frame {number} of {len(frames)}: expected {width} values of "
                    f"{name!r}, got {len(frame.get(name, []))}; it is truncated, or of another "
                    "skeleton"
                )
    return {name: np.array([frame[name] for frame in frames]) for name in turning}


def _floats(words: list[str]) -> list[float]:
    numbers = [float(word) for word in words]
    if not np.isfinite(numbers).all():
        raise ValueError("finite numbers")
    return numbers
