"""Whether the files of a landmark store say the same: its manifest, its table of clips."""

from __future__ import annotations

import pandas as pd
from pandas.api import types

from src.landmarks import N_LANDMARKS

_WHOLE = ("offset", "length", "label", "fold")
_TEXT = ("participant", "sequence", "sign")


def fault_of_manifest(manifest: object, version: int) -> str:
    """What was expected of manifest.json and what was found, in words; "" = it is as it must be.

    Args:
        manifest: what the file holds.
        version: of the store's format.
    """
    if not isinstance(manifest, dict):
        return f"expected an object, found {type(manifest).__name__}"
    if manifest.get("format") != version:
        return f"expected store format {version}, found {manifest.get('format')}"
    landmarks, signs = manifest.get("landmarks"), manifest.get("signs")
    if not _ascend(landmarks):
        return f"expected landmarks from 0 to {N_LANDMARKS - 1}, ascending, found others"
    if not isinstance(signs, dict) or not _counted(list(signs.values())):
        return "expected signs numbered 0 to K-1, each once, found others"
    if not isinstance(manifest.get("skipped"), list):
        return "expected a list of skipped clips, found none"
    return ""


def fault_of_clips(clips: pd.DataFrame, signs: dict[str, int]) -> str:
    """The same of clips.parquet: its columns, that clips lie end to end, that labels fit signs."""
    lacking = {*_WHOLE, *_TEXT, "training_only"} - set(clips.columns)
    if lacking or not clips.columns.is_unique:
        return f"expected each column once, found no {sorted(lacking) or 'such table'}"
    numbers = all(types.is_integer_dtype(clips[c]) and clips[c].notna().all() for c in _WHOLE)
    if not numbers or not types.is_bool_dtype(clips.training_only):
        return f"expected whole numbers as {', '.join(_WHOLE)}, truths as training_only"
    if not all(isinstance(value, str) for c in _TEXT for value in clips[c].unique()):
        return f"expected text as {', '.join(_TEXT)}"
    ends = clips.length.cumsum()
    if clips.empty or (clips.length < 1).any() or (clips.offset != ends - clips.length).any():
        return "expected clips of at least one frame, end to end, found others"
    if not clips.sequence.is_unique:
        return "expected every sequence once, found some more often"
    if (clips.sign.map(signs) != clips.label).any():
        return "expected the labels that manifest.json gives the signs, found others"
    return ""


def _ascend(numbers: object) -> bool:
    if not isinstance(numbers, list) or not numbers or {type(n) for n in numbers} != {int}:
        return False
    return numbers == sorted(set(numbers)) and 0 <= numbers[0] <= numbers[-1] < N_LANDMARKS


def _counted(numbers: list) -> bool:
    return {type(n) for n in numbers} == {int} and sorted(numbers) == list(range(len(numbers)))
