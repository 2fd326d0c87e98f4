"""The competition folder as Kaggle ships it: its index and sign map, read, checked and written.

    train.csv                                             path, participant_id, sequence_id, sign,
                                                          in converted folders train (True, False)
    train_landmark_files/<participant>/<sequence>.parquet a clip, see clip_file.py
    sign_to_prediction_index_map.json                     sign -> label

- train.csv is checked whole before the first clip is read, and all missing files are reported at
  once.
- A sign may be spelt in another Unicode form in each file; ours is NFC.
- train.csv comes from elsewhere: no path in it may lead out of the folder, and no participant or
  sequence may look like a path.
"""

import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pandas as pd

from src.common.errors import InputError, refusing
from src.common.files import write_atomically, write_json
from src.common.paths import SIGN_MAP

INDEX_COLUMNS = {  # train.csv's name -> ours
    "path": "path",
    "participant_id": "participant",
    "sequence_id": "sequence",
    "sign": "sign",
}
CLIPS = "train_landmark_files"
SPLIT = "train"  # a further column, in folders that name their test clips, see slovo.py
_FLAGS = {"true": True, "false": False, "1": True, "0": False}
_COPY_MAP = "copy the competition's own file there"


def read_signs(folder: Path, fewest: int = 2) -> dict[str, int]:
    """Read the sign map: sign -> label, in the file's order.

    Raises:
        InputError: the map is missing, or no JSON object of sign -> number; its numbers are not
            exactly 0 to K-1, each once; it has fewer signs than `fewest`, 1 or 2.
    """
    path = folder / SIGN_MAP
    with refusing(path, "a JSON file", f"mend it, save it as UTF-8, or {_COPY_MAP}"):
        # Editors on Windows begin a file with a mark of its encoding.
        pairs = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=list)
    whole = isinstance(pairs, list) and all(
        isinstance(pair, tuple) and type(pair[1]) is int for pair in pairs
    )
    if not whole or not pairs:
        raise InputError(f"{path}: expected {{sign: label}}, whole numbers as labels; {_COPY_MAP}")
    labels = [label for _, label in pairs]
    signs = [normalize("NFC", sign) for sign, _ in pairs]
    twice = sorted({sign for sign in signs if signs.count(sign) > 1})
    if twice:
        raise InputError(f"{path}: expected each sign once, found {some(twice)} more often")
    if len(signs) < fewest:
        raise InputError(
            f"{path}: expected two signs at least, found one: {signs[0]!r}; add others"
        )
    if sorted(labels) != list(range(len(labels))):
        lacking = sorted(set(range(len(labels))) - set(labels))
        raise InputError(
            f"{path}: expected the {len(labels)} signs to have the labels 0 to {len(labels) - 1}, "
            f"each once; found no {some(lacking)}. Renumber the signs without gaps"
        )
    return dict(zip(signs, labels, strict=True))


def read_index(folder: Path, signs: dict[str, int] | None = None) -> pd.DataFrame:
    """Read train.csv; check it against the clips' files and `signs` (None = the folder's map).

    Returns:
        A row per clip, in train.csv's order: path (absolute), participant, sequence, sign (str),
        label (int); train (bool) where train.csv has it.

    Raises:
        InputError: `read_table` refuses train.csv; a path comes twice, or leads out of the
            folder; a sign is not in the map; a clip has no file.
    """
    signs = read_signs(folder) if signs is None else signs
    csv = folder / "train.csv"
    index = read_table(csv, INDEX_COLUMNS, unique=("sequence_id", "path"))
    unknown = sorted(set(index.sign) - set(signs))
    if unknown:
        raise InputError(
            f"{csv}: expected only signs of {SIGN_MAP}, found {some(unknown)}; add them to the "
            "map, or remove their rows"
        )
    index["path"] = index.path.str.replace("\\", "/")  # as Windows writes them
    index["path"] = _locate(folder.resolve(), csv, index.path.tolist())
    twice = index.path[index.path.duplicated()].unique()
    if len(twice):  # spelt in two ways, which `read_table` does not see
        raise InputError(
            f"{csv}: expected each file once, found {some(twice)} more often; remove the repeated "
            "rows"
        )
    index["label"] = index.sign.map(signs).astype("int64")
    return index


def clip_path(participant: str, sequence: str | int) -> str:
    """A clip's file, relative to the competition folder."""
    return f"{CLIPS}/{participant}/{sequence}.parquet"


def write_index(folder: Path, index: pd.DataFrame, signs: Iterable[str] = ()) -> None:
    """Write train.csv and the sign map of a folder.

    Args:
        folder: made if it does not exist.
        index: a row per clip: participant, sequence, sign; also train, if the folder names its
            test clips.
        signs: in the order of their labels; empty = the index's signs in alphabetical order.
    """
    paths = map(clip_path, index.participant, index.sequence)
    columns = {ours: name for name, ours in INDEX_COLUMNS.items()}
    table = index.assign(path=[*paths])[[*columns, *({SPLIT} & {*index})]].rename(columns=columns)
    write_atomically(folder / "train.csv", lambda path: table.to_csv(path, index=False))
    signs = signs or sorted(set(index.sign))
    write_json(folder / SIGN_MAP, {sign: label for label, sign in enumerate(signs)})


def texts(path: Path) -> pd.DataFrame:
    """Read a table as it stands in the file, with every field as text.

    So no sign turns into NaN (there could be one called "null"), and no participant into a number.

    Raises:
        InputError: it cannot be read as a table.
    """
    with refusing(path, "a table of clips", "mend it, save it as UTF-8, or fetch it again"):
        # Spreadsheets begin a file with a mark of its encoding, which is no part of a name.
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        # In half of Europe, spreadsheets write semicolons instead of commas.
        separator = next((mark for mark in "\t;" if mark in header), ",")
        table = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first fields for row names
        raise InputError(
            f"{path}: expected as many fields in each row as in the header, {table.shape[1]}, "
            "found more in the first row; name every column, quote a sign with a comma in it, and "
            "end no row with a comma"
        )
    return table


def read_table(path: Path, columns: Mapping[str, str], unique: Iterable[str]) -> pd.DataFrame:
    """Read a table of clips, in which commas, semicolons or tabs divide the fields.

    `columns` maps the names of the file's required columns to ours; `unique` names, as in the file,
    the columns in which no value may come twice.

    Returns:
        A row per clip: our columns, all of them text, and train (bool) where the file has it.

    Raises:
        InputError: the file cannot be read, or has no row; a column or a value is missing; a value
            comes twice; a participant or sequence looks like a path; train is not a truth value.
    """
    table = _chosen(path, texts(path), columns)
    for name in (name for name, ours in columns.items() if ours != "path"):
        if columns[name] == "sign":
            table[name] = table[name].str.normalize("NFC")
        _check_spelling(path, table[name])
    _check_filled(path, table)
    for name in unique:
        _check_unique(path, table, name)
    for name in (name for name, ours in columns.items() if ours in ("participant", "sequence")):
        _check_plain(path, table[name])
    if SPLIT in table:
        table[SPLIT] = _flags(path, table[SPLIT])
    return table.rename(columns=columns)


def _chosen(path: Path, table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The required columns of a table, and train where the file has it."""
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise InputError(
            f"{path}: expected the columns {', '.join(columns)}; found no {some(lacking)}, but "
            f"{some(table.columns)}; correct the first line"
        )
    if table.empty:
        raise InputError(f"{path}: expected a row per clip, found only the header")
    return table[list(dict.fromkeys([*columns, *({SPLIT} & {*table})]))]


def _check_spelling(path: Path, column: pd.Series) -> None:
    """Refuse two spellings: one sign would become two, one signer be both learnt and held out."""
    values = pd.Series(column.unique())
    plain = values.str.strip().str.normalize("NFC")
    plain = plain.str.replace(r"^0*(\d+)(\.0)?$", r"\1", regex=True)  # 007 and 7.0 are 7
    alike = values[plain.duplicated(keep=False)]
    if len(alike):
        raise InputError(
            f"{path}: expected each {column.name} in one spelling, found {some(sorted(alike))}, "
            "which differ only in spaces, leading zeros, '.0' or Unicode form; spell them alike"
        )


def _check_filled(path: Path, table: pd.DataFrame) -> None:
    row, column = np.nonzero((table == "").to_numpy())
    if len(row):
        raise InputError(
            f"{path}: expected a value in every field, found {len(row)} empty, the first in line "
            f"{row[0] + 2}, column {table.columns[column[0]]}; fill it in"
        )


def _check_unique(path: Path, table: pd.DataFrame, name: str) -> None:
    twice = table[table[name].duplicated(keep=False)]
    if len(twice):
        # Different files under one number are different clips, and all of them are wanted.
        same = twice.drop(columns=name).duplicated().any() or name == "path"
        advice = "remove the repeated rows" if same else "give each clip a number of its own"
        raise InputError(
            f"{path}: expected each {name} once, found {some(twice[name].unique())} more "
            f"often; {advice}"
        )


def _check_plain(path: Path, column: pd.Series) -> None:
    path_like = column.isin([".", ".."]) | column.str.contains(r"[/\\\0]")
    if path_like.any():
        found = some(column[path_like].unique())
        raise InputError(
            f"{path}: expected plain names as {column.name}, found {found}; rename them"
        )


def _flags(path: Path, column: pd.Series) -> pd.Series:
    flags = column.str.lower().map(_FLAGS)
    if flags.isna().any():
        other = some(column[flags.isna()].unique())
        raise InputError(f"{path}: expected True or False as {SPLIT}, found {other}; correct it")
    return flags.astype(bool)


def some(names: Iterable[object], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(repr(str(name)) for name in names[:limit]) + more


# --- files --------------------------------------------------------------------------------------


def _locate(root: Path, csv: Path, paths: Iterable[str]) -> list[str]:
    """The absolute path of every clip, checked to be a file inside the folder."""

    # List each participant's folder once: on a network mount, looking at 94,477 files one by one
    # takes minutes.
    @cache
    def listed(parent: str) -> tuple[Path, dict[str, os.DirEntry]]:
        folder = _inside(root, csv, parent)
        try:
            with os.scandir(folder) as entries:
                return folder, {entry.name: entry for entry in entries}
        except PermissionError as error:
            raise InputError(
                f"{folder}: expected a folder to read, found {error.strerror}; change its "
                "permissions"
            ) from error
        except (OSError, ValueError):  # no such folder; a NUL in its name
            return folder, {}

    located, missing = [], []
    for path in paths:
        parent, _, name = path.rpartition("/")
        folder, entries = listed(parent)
        if name in entries and entries[name].is_symlink():
            _inside(root, csv, path)
        if name not in entries or not entries[name].is_file():
            missing.append(path)
        located.append(f"{folder}/{name}")
    if missing:
        advice = "unpack the competition's archive again, or remove these rows"
        if any(os.path.isfile(root / normalize(form, missing[0])) for form in ("NFC", "NFD")):
            advice = "the names on disk differ in Unicode form: write these into the table"
        raise InputError(
            f"{csv}: expected a file for each of its {len(located)} rows, found none for "
            f"{len(missing)}: {some(missing)}; {advice}"
        )
    return located


def _inside(root: Path, csv: Path, path: str) -> Path:
    try:
        resolved = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL; links that form a circle
        raise InputError(f"{csv}: expected paths, found {path!r}: {error}") from error
    if not resolved.is_relative_to(root):
        raise InputError(
            f"{csv}: expected paths inside {root}, found {path!r}, which leads to {resolved}; "
            "copy the clips into the folder"
        )
    return resolved
