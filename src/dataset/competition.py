"""The competition folder as Kaggle ships it: its index and sign map, read and checked.

    train.csv                                             path, participant_id, sequence_id, sign,
                                                          in converted folders train (True, False)
    train_landmark_files/<participant>/<sequence>.parquet 543 rows a frame, see clip_file.py
    sign_to_prediction_index_map.json                     sign -> label

- Everything that train.csv says is checked before the first clip is read, and all missing files
  are reported at once.
- train.csv comes from elsewhere: no path in it may lead out of the folder, and no participant or
  sequence may look like a path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from src.common.errors import InputError
from src.common.paths import SIGN_MAP

INDEX_COLUMNS = {  # train.csv's name -> ours
    "path": "path",
    "participant_id": "participant",
    "sequence_id": "sequence",
    "sign": "sign",
}
SPLIT = "train"  # a further column of folders that say themselves what to test on, see slovo.py


def read_signs(folder: Path) -> dict[str, int]:
    """Read the sign map.

    Returns:
        sign -> label, in the file's order.

    Raises:
        InputError: it is missing, no JSON object of sign -> number, or its numbers are not exactly
            0 to K-1, each once.
    """
    path = folder / SIGN_MAP
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON file, found: {error}; {_COPY_MAP}") from error
    whole = isinstance(pairs, list) and all(_is_sign_and_label(pair) for pair in pairs)
    if not whole or not pairs:
        raise InputError(f"{path}: expected {{sign: label}}, labels whole numbers; {_COPY_MAP}")
    signs, labels = zip(*pairs, strict=True)
    if len(set(signs)) < len(signs):
        twice = sorted({sign for sign in signs if signs.count(sign) > 1})
        raise InputError(f"{path}: expected each sign once, found {_some(twice)} more often")
    if sorted(labels) != list(range(len(labels))):
        lacking = sorted(set(range(len(labels))) - set(labels))
        raise InputError(
            f"{path}: expected the {len(labels)} signs to have the labels 0 to {len(labels) - 1}, "
            f"each once; found no {_some(lacking)}. Number the signs anew, without gaps"
        )
    return dict(pairs)


def read_index(folder: Path, signs: dict[str, int] | None = None) -> pd.DataFrame:
    """Read train.csv and check it against the map and the files.

    Args:
        folder: a competition folder.
        signs: sign -> label; None reads the folder's own map.

    Returns:
        A row per clip, in train.csv's order: path (absolute), participant, sequence, sign (str),
        label (int); train (bool) where train.csv has it.

    Raises:
        InputError: train.csv is unreadable, empty or lacks a column or a value; a sequence or path
            comes twice; a name is path-like or a path leads out of the folder; a sign is not in
            the map; a clip has no file.
    """
    folder = Path(folder)
    signs = read_signs(folder) if signs is None else signs
    csv = folder / "train.csv"
    index = _read_csv(csv)
    for column in ("sequence", "path"):
        twice = index[column][index[column].duplicated()].unique()
        if len(twice):
            raise InputError(
                f"{csv}: expected each {column} once, found {_some(twice)} more often; remove "
                "the repeated rows"
            )
    for column in ("participant", "sequence"):
        path_like = [name for name in index[column].unique().tolist() if _is_path_like(name)]
        if path_like:
            raise InputError(
                f"{csv}: expected plain names as {column}, found {_some(path_like)}; rename them"
            )
    unknown = sorted(set(index.sign) - set(signs))
    if unknown:
        raise InputError(
            f"{csv}: expected only signs of {SIGN_MAP}, found {_some(unknown)}; add them to the "
            "map, or remove their rows"
        )
    index["path"] = _locate(folder, csv, index.path.tolist())
    index["label"] = index.sign.map(signs).astype("int64")
    return index


_COPY_MAP = "copy the competition's own file there"


def _is_sign_and_label(pair: object) -> bool:
    return isinstance(pair, tuple) and type(pair[1]) is int


def _is_path_like(name: str) -> bool:
    return name in (".", "..") or any(mark in name for mark in "/\\\0")


def _some(names: Iterable[object], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(repr(str(name)) for name in names[:limit]) + more


def _read_csv(csv: Path) -> pd.DataFrame:
    try:
        # Everything is text: no sign may turn into NaN (there could be one called "null"), and no
        # participant into a number.
        table = pd.read_csv(csv, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{csv}: expected a table of clips, found: {error}") from error
    lacking = [column for column in INDEX_COLUMNS if column not in table]
    if lacking:
        raise InputError(
            f"{csv}: expected the columns {', '.join(INDEX_COLUMNS)}; found no {_some(lacking)}"
        )
    if table.empty:
        raise InputError(f"{csv}: expected a row per clip, found only the header")
    split = [SPLIT] if SPLIT in table else []
    table = table[[*INDEX_COLUMNS, *split]].rename(columns=INDEX_COLUMNS)
    row, column = np.nonzero((table == "").to_numpy())
    if len(row):
        raise InputError(
            f"{csv}: expected a value in every field, found {len(row)} empty, the first in line "
            f"{row[0] + 2}, column {column[0] + 1} of {', '.join(INDEX_COLUMNS)}; fill it in"
        )
    if split:
        other = sorted(set(table[SPLIT]) - {"True", "False"})
        if other:
            raise InputError(
                f"{csv}: expected True or False as {SPLIT}, found {_some(other)}; correct it"
            )
        table[SPLIT] = table[SPLIT] == "True"
    return table


def _locate(folder: Path, csv: Path, paths: Iterable[str]) -> list[str]:
    """The absolute path of every clip; all of them are files inside the folder.

    One listing per participant's folder instead of one look per file: 94,477 looks take minutes
    where the data are on a network mount.
    """
    root = folder.resolve()
    parents: dict[str, _Listing] = {}
    located, missing = [], []
    for path in paths:
        parent, _, name = path.rpartition("/")
        if parent not in parents:
            parents[parent] = _Listing.of(root, csv, parent)
        if name in parents[parent].links:
            _inside(root, csv, path)
        if name not in parents[parent].names:
            missing.append(path)
        located.append(f"{parents[parent].folder}/{name}")
    if missing:
        raise InputError(
            f"{csv}: expected a file for each of its {len(located)} rows, found none for "
            f"{len(missing)}: {_some(missing)}; unpack the competition's archive again, or remove "
            "these rows"
        )
    return located


@dataclass(frozen=True)
class _Listing:
    folder: Path
    names: frozenset[str]
    links: frozenset[str]

    @classmethod
    def of(cls, root: Path, csv: Path, parent: str) -> _Listing:
        folder = _inside(root, csv, parent)
        try:
            with os.scandir(folder) as entries:
                files = [(entry.name, entry.is_symlink()) for entry in entries if entry.is_file()]
        except (OSError, ValueError):  # no such folder; a NUL in its name
            files = []
        names = frozenset(name for name, _ in files)
        return cls(folder, names, frozenset(name for name, is_link in files if is_link))


def _inside(root: Path, csv: Path, path: str) -> Path:
    try:
        resolved = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL; links that go in a circle
        raise InputError(f"{csv}: expected paths, found {path!r}: {error}") from error
    if not resolved.is_relative_to(root):
        raise InputError(
            f"{csv}: expected paths inside {root}, found {path!r}, which leads to {resolved}; "
            "copy the clips into the folder"
        )
    return resolved
