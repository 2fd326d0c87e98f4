"""The landmark store: every clip of a competition folder in one flat, memory-mapped file.

    <stores>/<name>-<fingerprint>/
        landmarks.npy    (frames, landmarks, 3) float16, clip after clip, NaN = not detected
        clips.parquet    a row per clip: offset, length, participant, sequence, sign, label, fold,
                         training_only
        manifest.json    landmark numbers, signs, source fingerprint, versions, skipped clips

- Nothing is padded and nothing is chosen by a solution: the store holds the union of the landmarks
  that any recipe reads, so a new recipe needs no new preparation.
- A killed build goes on at the first missing shard, see shards.py; the manifest is written last and
  makes the store valid.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
from jaxtyping import Float, Int
from pandas.api import types

from src.common.errors import InputError
from src.common.files import locked, write_atomically, write_json
from src.dataset import competition as raw
from src.dataset import folds, shards
from src.landmarks import N_LANDMARKS, PARTS, part_of

FORMAT = 1  # raise it when the files' meaning changes: older stores are then built again


@dataclass(frozen=True)
class Store:
    """An open store.

    Args:
        folder: where its three files are.
        clips: a row per clip, see the module's docstring.
        landmarks: the frame row behind each stored column, ascending.
        signs: sign -> label.
        frames: (frames, landmarks, 3) float16, memory-mapped.
    """

    folder: Path
    clips: pd.DataFrame
    landmarks: tuple[int, ...]
    signs: dict[str, int]
    frames: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open a finished store.

        Raises:
            InputError: it is unfinished, or its files do not fit together.
        """
        manifest = _read_manifest(folder)
        try:
            clips = pd.read_parquet(folder / "clips.parquet")
        except (OSError, ValueError) as error:
            raise InputError(f"{folder / 'clips.parquet'}: {error}; {_REBUILD}") from error
        if fault := fault_of_clips(clips, manifest["signs"]):
            raise InputError(f"{folder / 'clips.parquet'}: {fault}; {_REBUILD}")
        try:
            frames = np.load(folder / "landmarks.npy", mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{folder / 'landmarks.npy'}: {error}; {_REBUILD}") from error
        expected = (int(clips.length.sum()), len(manifest["landmarks"]), 3)
        if frames.shape != expected or frames.dtype != np.float16:
            raise InputError(
                f"{folder / 'landmarks.npy'}: expected float16 {expected} as clips.parquet and "
                f"manifest.json say, found {frames.dtype} {frames.shape}; {_REBUILD}"
            )
        return cls(folder, clips, tuple(manifest["landmarks"]), manifest["signs"], frames)

    def __len__(self) -> int:
        return len(self.clips)

    def whole_frames(self, index: int) -> Float[np.ndarray, "T 543 3"]:
        """One clip in the layout of a frame; NaN also where the store keeps no landmark."""
        clip = self.clip(index)
        whole = np.full((len(clip), N_LANDMARKS, 3), np.nan, np.float32)
        whole[:, self.landmarks] = clip
        return whole

    def index_of(self, sequence: str) -> int:
        """The row of the clip of that sequence."""
        return int(np.flatnonzero(self.clips.sequence == sequence)[0])

    @cached_property
    def _spans(self) -> np.ndarray:
        offset = self.clips.offset.to_numpy()
        return np.stack([offset, offset + self.clips.length.to_numpy()], axis=1)

    def clip(self, index: int) -> Float[np.ndarray, "T N 3"]:
        """One clip: (T, stored landmarks, 3) float32, NaN = not detected."""
        start, stop = self._spans[index]
        return self.frames[start:stop].astype(np.float32)


_REBUILD = "delete the store's folder and run preparation again"


def build(
    folder: Path,
    stores: Path,
    landmarks: Sequence[int],
    extra: Sequence[Path] = (),
    workers: int | None = None,
    skip_broken: bool = False,
) -> Store:
    """Build the store of a competition folder, or open it if it is there already.

    Args:
        folder: the competition folder.
        stores: the folder that stores live in.
        landmarks: the frame rows to keep.
        extra: further folders of the same format, for training only. Their clips of signs that
            `folder` does not have are left out, and counted in the manifest.
        workers: processes; None = one per core, if there are clips enough for each.
        skip_broken: leave out broken clips and list them in the manifest, instead of stopping.

    Raises:
        InputError: something in the folders is not as Kaggle ships it.
    """
    index, left_out = _read_indices(folder, extra)
    landmarks = tuple(sorted(landmarks))
    fingerprint = _fingerprint(index, landmarks, skip_broken)
    target = stores / f"{folder.name}-{fingerprint[:12]}"
    if (target / "manifest.json").is_file():
        shutil.rmtree(target / "shards", ignore_errors=True)  # of a build killed at its very end
        return Store.open(target)
    with locked(target, "builds this store"):
        paths = index.path.tolist()
        pieces = shards.build(paths, target / "shards", landmarks, workers, skip_broken)
        broken = [line for piece in pieces for line in piece.broken]
        clips = _clips_table(index, np.concatenate([piece.lengths for piece in pieces]))
        if clips.empty:
            raise InputError(f"{folder}: not one whole clip; the first says: {broken[0]}")
        shards.join(pieces, target / "landmarks.npy", len(landmarks))
        write_atomically(target / "clips.parquet", lambda path: clips.to_parquet(path, index=False))
        manifest = {
            "format": FORMAT,
            "source": str(folder),
            "extra": [str(path) for path in extra],
            "fingerprint": fingerprint,
            "landmarks": landmarks,
            "signs": raw.read_signs(folder),
            "skipped": broken,
            "left_out": left_out,
            "versions": {"numpy": np.__version__, "pyarrow": pyarrow.__version__},
        }
        write_json(target / "manifest.json", manifest)
        shutil.rmtree(target / "shards", ignore_errors=True)
    return Store.open(target)


def missing_shares(store: Store, most: int = 2000) -> dict[str, float]:
    """The share of frames in which each part was not detected, over at most so many clips."""
    chosen = np.linspace(0, len(store) - 1, min(most, len(store))).astype(int).tolist()
    seen = np.concatenate([~np.isnan(store.clip(i)[..., 0]) for i in chosen])
    parts = np.array([part_of(landmark) for landmark in store.landmarks])
    return {part: float((~seen[:, parts == part].any(1)).mean()) for part in PARTS if part in parts}


def skipped(store: Store) -> list[str]:
    """The reason of every broken clip that was left out of the store."""
    return _read_manifest(store.folder)["skipped"]


def _read_indices(folder: Path, extra: Sequence[Path]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The clips of all folders in one table, and per extra folder the clips of unknown signs."""
    signs = raw.read_signs(folder)
    main = raw.read_index(folder, signs)
    # A folder may say itself what is there to train on; `folds.assign` knows by the column.
    tables = [main.assign(training_only=main.get(raw.SPLIT, False))]
    left_out = {}
    for path in extra:
        table = raw.read_index(path)
        known = table.sign.isin(list(signs))
        left_out[str(path)] = int((~known).sum())
        table = table[known].assign(training_only=True).drop(columns=raw.SPLIT, errors="ignore")
        # Another folder's participant 7 is another person, and its sequence 7 another clip.
        table["participant"] = path.name + "/" + table.participant
        table["sequence"] = path.name + "/" + table.sequence
        table["label"] = table.sign.map(signs)
        tables.append(table)
    return pd.concat(tables, ignore_index=True), left_out


def _fingerprint(index: pd.DataFrame, landmarks: tuple[int, ...], skip_broken: bool) -> str:
    """A hash of what the store is made from: the clips' names, sizes, labels, and the choices."""
    digest = hashlib.sha256(repr((FORMAT, landmarks, skip_broken)).encode())
    columns = (index[name].tolist() for name in ("path", "sequence", "participant", "label"))
    for path, sequence, participant, label in zip(*columns, strict=True):
        size = os.stat(path).st_size
        digest.update(repr((sequence, participant, label, size)).encode())
    if raw.SPLIT in index:
        digest.update(index.training_only.to_numpy(bool).tobytes())
    return digest.hexdigest()


def _clips_table(index: pd.DataFrame, lengths: Int[np.ndarray, " clips"]) -> pd.DataFrame:
    clips = index[lengths > 0].drop(columns="path").reset_index(drop=True)
    clips["length"] = lengths[lengths > 0]
    clips["offset"] = clips.length.cumsum() - clips.length
    clips["fold"] = folds.assign(clips, given=raw.SPLIT in clips)
    return clips.drop(columns=raw.SPLIT, errors="ignore")


def _read_manifest(folder: Path) -> dict:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no readable manifest ({error}); {_REBUILD}") from error
    if fault := fault_of_manifest(manifest, FORMAT):
        raise InputError(f"{path}: {fault}; {_REBUILD}")
    return manifest


# --- whether the three files fit together --------------------------------------------------------

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
