"""Slovo's way to ship clips, turned into a competition folder: once, clip by clip.

    annotations.csv     attachment_id, user_id, text, train; tabs or commas between them
    and keypoints in JSON, of one file a clip or of all clips, see keypoints.py

- `train` says what to test on: its False clips are fold 0, and nothing else is ever tested on.
  Slovo divides its clips by signer, so that holds signers out.

Source: github.com/hukenovs/slovo; recognition.md 4.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from src.common.errors import InputError
from src.common.files import locked, write_atomically, write_json
from src.common.paths import SIGN_MAP, SLOVO_INDEX
from src.dataset import slovo_keypoints as keypoints
from src.dataset.sample.writer import write_clip

FORMAT = 1  # raise it when the same files give other clips
NOTE = "slovo.json"  # written last: what the folder was made from, and what was left out
COLUMNS = {  # annotations.csv's name -> train.csv's
    "attachment_id": "sequence_id",
    "user_id": "participant_id",
    "text": "sign",
    "train": "train",
}
_FILES = "train_landmark_files"
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def as_competition(folder: Path, converted: Path, skip_broken: bool = False) -> Path:
    """The folder itself, or, of one in Slovo's format, the competition folder made from it.

    Args:
        folder: of either format.
        converted: the folder that such competition folders live in; one that is there already is
            taken as it is, one that was stopped is gone on with.
        skip_broken: leave out broken clips, and clips without keypoints, instead of stopping.

    Raises:
        InputError: annotations.csv or a clip is not as described above.
    """
    if not (folder / SLOVO_INDEX).is_file():
        return folder
    index = read_annotations(folder)
    source = keypoints.located(folder)
    target = converted / f"{folder.name}-{_fingerprint(folder, source, skip_broken)}"
    if (target / NOTE).is_file():
        return target
    with locked(target, "converts these clips"):
        broken = _write_clips(folder, source, index, target, skip_broken)
        _write_index(index[~index.sequence_id.isin(list(broken))], target)
        write_json(target / NOTE, {"source": str(folder), "skipped": list(broken.values())})
    return target


def skipped(folder: Path) -> list[str]:
    """The reason of every clip that `as_competition` left out; nothing of any other folder."""
    note = folder / NOTE
    return json.loads(note.read_text(encoding="utf-8"))["skipped"] if note.is_file() else []


# --- annotations --------------------------------------------------------------------------------


def read_annotations(folder: Path) -> pd.DataFrame:
    """The clips: sequence_id, participant_id, sign (all text), train (bool), in the file's order.

    Raises:
        InputError: unreadable, a column or a value missing, a clip twice, an id that looks like a
            path, or a flag that is neither True nor False.
    """
    path = folder / SLOVO_INDEX
    try:
        header = path.read_text(encoding="utf-8").split("\n", 1)[0]
        separator = "\t" if "\t" in header else ","
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a table of clips, found: {error}") from error
    lacking = [name for name in COLUMNS if name not in table]
    if lacking or table.empty:
        found = f"no {', '.join(lacking)}" if lacking else "only the header"
        raise InputError(f"{path}: expected {', '.join(COLUMNS)} of every clip, found {found}")
    table = table[list(COLUMNS)].rename(columns=COLUMNS)
    _refuse_rows(path, table)
    flag = table.train.str.lower().map(_FLAGS)
    if flag.isna().any():
        line = int(flag.isna().to_numpy().argmax()) + 2
        raise InputError(
            f"{path}: expected True or False as train, found {table.train[line - 2]!r} in line "
            f"{line}; correct it"
        )
    if flag.nunique() == 1:
        raise InputError(
            f"{path}: expected clips to train on and clips to test on, found train = "
            f"{table.train[0]} for all; correct the flags"
        )
    return table.assign(train=flag.astype(bool))


def _refuse_rows(path: Path, table: pd.DataFrame) -> None:
    wrong = {
        "a value in every field": (table == "").any(axis=1),
        "each attachment_id once": table.sequence_id.duplicated(),
        "an attachment_id that can be a file's name": table.sequence_id.map(_is_path_like),
        "a user_id that can be a folder's name": table.participant_id.map(_is_path_like),
    }
    for expected, rows in wrong.items():
        if rows.any():
            line = int(rows.to_numpy().argmax())
            raise InputError(
                f"{path}: expected {expected}, found {', '.join(table.iloc[line].astype(str))} in "
                f"line {line + 2}; correct it or remove the line"
            )


def _is_path_like(name: str) -> bool:
    return name in (".", "..") or any(mark in name for mark in "/\\\0")


# --- the competition folder ---------------------------------------------------------------------


def _fingerprint(folder: Path, source: Path, skip_broken: bool) -> str:
    """A hash of the annotations, the keypoints' names and sizes, and the choice."""
    digest = hashlib.sha256(repr((FORMAT, skip_broken)).encode())
    digest.update((folder / SLOVO_INDEX).read_bytes())
    files = [source] if source.is_file() else sorted(source.glob("*.json"))
    for path in files:
        digest.update(repr((path.name, os.stat(path).st_size)).encode())
    return digest.hexdigest()[:12]


def _write_clips(
    folder: Path, source: Path, index: pd.DataFrame, target: Path, skip_broken: bool
) -> dict[str, str]:
    """Write every clip that is not there yet. Returns the reasons of those that cannot be."""
    paths = {row.sequence_id: target / _path(row) for row in index.itertuples()}
    missing, broken = set(paths), {}
    clips = keypoints.read_frames(source, set(paths))
    for sequence, frames in tqdm(clips, total=len(paths), unit="clip", desc="Slovo", disable=None):
        missing.discard(sequence)
        if paths[sequence].is_file():
            continue
        try:
            if isinstance(frames, InputError):
                raise frames
            xyz = keypoints.to_landmarks(frames, f"{source}: clip {sequence}")
        except InputError as error:
            if not skip_broken:
                raise InputError(
                    f"{error}. To go on without such clips, say so: SKIP_BROKEN=True"
                ) from error
            broken[sequence] = str(error)
            continue
        write_atomically(paths[sequence], lambda path, xyz=xyz: write_clip(path, xyz))
    if missing and not skip_broken:
        some = ", ".join(sorted(missing)[:5])
        raise InputError(
            f"{source}: expected keypoints of each of the {len(index)} clips of "
            f"{folder / SLOVO_INDEX}, found none of {len(missing)}: {some}; add them, remove these "
            "lines, or say SKIP_BROKEN=True"
        )
    return broken | {sequence: f"{source}: no keypoints of {sequence}" for sequence in missing}


def _path(row: Any) -> str:
    return f"{_FILES}/{row.participant_id}/{row.sequence_id}.parquet"


def _write_index(index: pd.DataFrame, target: Path) -> None:
    """train.csv, with the flag as a further column, and the sign map."""
    if index.empty:
        raise InputError(f"{target}: not one whole clip to convert; see its annotations")
    table = index.assign(path=[_path(row) for row in index.itertuples()])
    write_atomically(target / "train.csv", lambda path: table.to_csv(path, index=False))
    signs = {sign: label for label, sign in enumerate(sorted(set(index.sign)))}
    write_json(target / SIGN_MAP, signs)
