"""Keypoints of clips in JSON.

    keypoints/<clip>.json     the clip's frames; or, instead of the folder,
    <any name>.json           {clip: its frames}, such as slovo_mediapipe.json

- A frame is an object of parts, {"left_hand": [{"x": .5, "y": .4, "z": 0}, ...], ...}, with the
  parts of MediaPipe Holistic: face, left_hand, pose, right_hand (or <part>_landmarks). A part that
  is missing, null or empty was not detected. A point is an object or a list; without z it has
  z = 0.
- Slovo's own file has "hand 1" and "hand 2", and does not say which is the left one. If there
  are two, the one farther left in the picture is taken as the signer's right hand; a single hand is
  taken as the right one if it is in the picture's left half.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src.clips import RawClip
from src.common.errors import InputError, refusing
from src.dataset.clip_file import LARGEST
from src.landmarks import LEFT_HAND, PARTS, RIGHT_HAND, WITH_IRISES, rows_of, undetected

CLIPS = "keypoints"  # the folder with a file for each clip
_EITHER_HAND = ("hand 1", "hand 2")
_SPACE = re.compile(r"\s*")


def located(folder: Path) -> Path:
    """The folder with a file for each clip, or the file of all clips."""
    if (folder / CLIPS).is_dir():
        return folder / CLIPS
    files = sorted(folder.glob("*.json"))
    if len(files) == 1:
        return files[0]
    found = ", ".join(path.name for path in files) or "neither"
    raise InputError(
        f"{folder}: expected keypoints, in {CLIPS}/<attachment_id>.json or in one JSON file of "
        f"all clips, found {found}; put them there"
    )


def read_frames(source: Path, wanted: set[str]) -> Iterator[tuple[str, Any]]:
    """The frames of each wanted clip that has keypoints, or the error if they cannot be read."""
    if source.is_file():
        yield from (pair for pair in _members(source) if pair[0] in wanted)
        return
    for path in sorted(source.glob("*.json")):
        if path.stem in wanted:
            try:
                yield path.stem, json.loads(path.read_bytes())
            except (OSError, ValueError, RecursionError) as error:
                yield path.stem, InputError(f"{path}: expected JSON, found: {error}")


def _members(path: Path) -> Iterator[tuple[str, Any]]:
    """The members of a JSON object, one by one: all of Slovo's 1.2 GB would fill 20 in memory."""
    decoder = json.JSONDecoder()
    with refusing(path, "a JSON object {attachment_id: frames}", "fetch the file again"):
        text = path.read_text(encoding="utf-8-sig")
        at = _after(text, 0, "{")
        while text[at] != "}":
            name, at = decoder.raw_decode(text, at)
            value, at = decoder.raw_decode(text, _after(text, at, ":"))
            yield str(name), value
            at = _SPACE.match(text, at).end()
            at = _after(text, at, ",") if text[at] != "}" else at


def _after(text: str, at: int, mark: str) -> int:
    at = _SPACE.match(text, at).end()
    if text[at] != mark:
        raise ValueError(f"{text[at]!r} instead of {mark!r} at character {at}")
    return _SPACE.match(text, at + 1).end()


def to_landmarks(frames: Any, where: str) -> RawClip:
    """The landmarks of a clip from its frames in JSON; `where` names the clip in messages.

    Raises:
        InputError: the clip could not be read, or has no frame; a part is unknown, or has the wrong
            number of points.
    """
    if isinstance(frames, InputError):
        raise frames
    if not isinstance(frames, list) or not frames:
        raise InputError(
            f"{where}: expected a list of frames, found {_brief(frames)}; leave it out"
        )
    xyz = undetected(len(frames))
    for number, frame in enumerate(frames):
        at = f"{where}, frame {number}"
        if not isinstance(frame, dict | None):
            raise InputError(f"{at}: expected an object of parts, found {_brief(frame)}")
        loose = []
        for part, points in (frame or {}).items():
            name = str(part).removesuffix("_landmarks")
            if name not in (*PARTS, *_EITHER_HAND):
                raise InputError(
                    f"{at}: expected the parts {', '.join(PARTS)} or {' and '.join(_EITHER_HAND)}, "
                    f"found {part!r}; rename or remove it"
                )
            if not points:
                continue
            size = PARTS.get(name, len(LEFT_HAND))
            irises = name == "face" and len(points) == WITH_IRISES.parts[name]
            values = _points(points, len(points) if irises else size, f"{at}, {part}")[:size]
            if name in PARTS:
                xyz[number, rows_of(name)] = values
            else:
                loose.append(values)
        for hand, values in _sides(loose):
            xyz[number, list(hand)] = values
    return xyz


def _points(points: Any, size: int, where: str) -> np.ndarray:
    try:
        if isinstance(points[0], dict):
            points = [(point["x"], point["y"], point.get("z", 0.0)) for point in points]
        values = np.asarray(points, np.float64)
        if values.shape == (size, 2):
            values = np.pad(values, ((0, 0), (0, 1)))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{where}: expected {size} points with x and y, found {_brief(points)} ({error})"
        ) from error
    if values.shape != (size, 3) or not (np.abs(values) <= LARGEST).all():
        raise InputError(
            f"{where}: expected {size} points of finite x, y, z, at most {LARGEST:.0f}, found "
            f"{_brief(points)}; leave a part that was not detected out, or make it null"
        )
    return values


def _sides(hands: list[np.ndarray]) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Tell which hand is which, by their places in a picture that is not mirrored."""
    if len(hands) == 2:
        right, left = sorted(hands, key=lambda hand: hand[:, 0].mean())
        return [(RIGHT_HAND, right), (LEFT_HAND, left)]
    return [(RIGHT_HAND if hand[:, 0].mean() < 0.5 else LEFT_HAND, hand) for hand in hands]


def _brief(value: object) -> str:
    size = f" of {len(value)}" if isinstance(value, list | dict) else ""
    return f"{type(value).__name__}{size} {str(value)[:40]!r}"
