"""The landmark store: every clip of a competition folder in one flat, memory-mapped file.

    <stores>/<name>-<fingerprint>/
        landmarks.npy    (frames, landmarks, 3) float16, clip after clip, NaN = not detected
        clips.parquet    a row per clip: offset, length, participant, sequence, sign, label, fold,
                         training_only
        manifest.json    the store's mark; its result: landmarks, signs, source, skipped
                         clips, digests of the clip files

- Nothing is padded, and nothing is specific to one solution: the store holds every landmark that
  some recipe reads, so a new recipe with the same landmarks needs no new preparation.
- A killed build goes on at the first missing shard, see shards.py. A store counts as missing until
  its mark is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from src.clips import RawClip
from src.common.errors import InputError, refusing
from src.common.files import locked, stamp, write_atomically
from src.common.marks import Mark, digest_of, side_by_side
from src.common.news import say
from src.common.paths import SLOVO_INDEX
from src.dataset import competition, folds, shards
from src.landmarks import HANDS, N_LANDMARKS, PARTS, PLAIN, undetected

FORMAT = 3  # raise it when the files' meaning changes: older stores are then built again
MARK, CLIPS, LANDMARKS = "manifest.json", "clips.parquet", "landmarks.npy"
OUTSIDE = 4.0  # pictures: genuine points lie within 2.3 of a picture's corner
_REBUILD = "delete the store's folder and run preparation again"


@dataclass(frozen=True)
class Store:
    """An open store."""

    folder: Path  # the folder of its three files
    clips: pd.DataFrame  # a row per clip, see the module's docstring
    landmarks: tuple[int, ...]  # which are stored, in ascending order
    signs: dict[str, int]  # sign -> label
    frames: np.ndarray  # (frames, landmarks, 3) float16, memory-mapped

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open a finished store.

        Raises:
            InputError: the store is unfinished, or its files do not fit together.
        """
        manifest = _read_manifest(folder)
        landmarks, signs = tuple(manifest["landmarks"]), manifest["signs"]
        clips = _read_clips(folder / CLIPS, signs)
        path, shape = folder / LANDMARKS, (int(clips.length.sum()), len(landmarks), 3)
        with refusing(path, "a file that preparation wrote", _REBUILD):
            frames = np.load(path, mmap_mode="r")
        fits = frames.shape == shape and frames.dtype == np.float16
        expected = f"float16 {shape} as {CLIPS} and {MARK} say"
        _expect(fits, path, expected, f"{frames.dtype} {frames.shape}")
        return cls(folder, clips, landmarks, signs, frames)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def clip_files(self) -> str:
        """A digest of the clip files' sizes, which tells a run that clips were replaced.

        Unlike times, sizes stay the same when a folder is copied to another machine.
        """
        return _read_manifest(self.folder)["sizes"]

    @property
    def clip_contents(self) -> str | None:
        """A digest of what the clip files hold, for clips that were replaced by others of one size.

        It, too, survives copying; None in stores of before December 2026.
        """
        return _read_manifest(self.folder).get("contents")

    @cached_property
    def _spans(self) -> np.ndarray:
        offset = self.clips.offset.to_numpy()
        return np.stack([offset, offset + self.clips.length.to_numpy()], axis=1)

    def clip(self, index: int) -> Float[np.ndarray, "T N 3"]:
        """One clip: (T, stored landmarks, 3) float32, NaN = not detected."""
        start, stop = self._spans[index]
        return self.frames[start:stop].astype(np.float32)

    def whole_frames(self, index: int) -> RawClip:
        """One clip with all landmarks; those that the store lacks are NaN."""
        clip = self.clip(index)
        whole = undetected(len(clip))
        whole[:, self.landmarks] = clip
        return whole

    def index_of(self, sequence: str) -> int:
        """The row of the clip of that sequence."""
        return int(np.flatnonzero(self.clips.sequence == sequence)[0])


def missing_shares(store: Store) -> dict[str, float]:
    """The share of frames in which each part was not detected, over at most 2,000 clips."""
    seen = np.concatenate([~np.isnan(clip[..., 0]) for clip in _evenly_spaced(store)])
    parts = PLAIN.types[list(store.landmarks)]
    return {part: float((~seen[:, parts == part].any(1)).mean()) for part in PARTS if part in parts}


def oddities(store: Store) -> list[str]:
    """What no detector gives, in a line each, over at most 2,000 clips."""
    parts, hands = PLAIN.types[list(store.landmarks)], np.isin(store.landmarks, HANDS)
    n_frames, handless, largest, lines = 0, [], [], []
    constant = {part: [] for part in dict.fromkeys(parts.tolist())}
    for clip in _evenly_spaced(store):
        n_frames += len(clip)
        handless.append(np.isnan(clip[:, hands]).all())
        size = np.abs(clip[..., :2])
        if (size > OUTSIDE).sum() > (size <= OUTSIDE).sum() / 2:
            largest.append(np.nanmax(size))
        for part, values in constant.items():
            xyz = clip[:, parts == part]
            values += xyz[(xyz == xyz[:, :1, :1]).all((1, 2)), 0, 0].tolist()
    for part, values in constant.items():
        if values:
            lines.append(
                f"{part} is exactly {values[0]:g} in {len(values):,} of {n_frames:,} frames: a "
                "part that was not detected should be NaN"
            )
    if hands.any() and np.mean(handless) > 0.5:
        lines.append(f"hands are never detected in {sum(handless):,} of {len(handless):,} clips")
    if largest:
        lines.append(
            f"coordinates up to {max(largest):.0f}, in {len(largest):,} of {len(handless):,} "
            "clips: expected image units, 0 to 1 in the picture"
        )
    return lines


def _evenly_spaced(store: Store) -> Iterator[Float[np.ndarray, "T N 3"]]:
    """All clips of a store, or 2,000 of them."""
    for i in np.linspace(0, len(store) - 1, min(2000, len(store))).astype(int).tolist():
        yield store.clip(i)


def extra_clips(store: Store) -> int:
    """How many clips come from the folders that are for training only."""
    # Their participants are named <folder>/<participant>; no other name has a slash.
    return int(store.clips.participant.str.contains("/").sum())


def skipped(store: Store) -> list[str]:
    """Why each of the broken clips was left out of the store."""
    return _read_manifest(store.folder)["skipped"]


# --- building -----------------------------------------------------------------------------------


def build(
    folder: Path,
    stores: Path,
    landmarks: Sequence[int],
    extra: Sequence[Path] = (),
    workers: int | None = None,
    skip_broken: bool = False,
) -> Store:
    """Build the store of a competition folder in `stores`, or open it if it is there already.

    The `extra` folders, of the same format, are for training only: their clips of signs that
    `folder` does not have are left out, and named. By default there is one worker per core, if
    there are clips enough for each. With `skip_broken`, broken clips are left out and listed in the
    manifest; otherwise they stop the build.

    Raises:
        InputError: something in the folders is not as Kaggle ships it.
    """
    # A store of other values may be in use by another run, so this one gets a folder of its own.
    signs = competition.read_signs(folder)
    index = _read_indices(folder, extra, signs)
    landmarks = tuple(sorted(landmarks))
    made_from = _made_from(index, signs, landmarks, skip_broken)
    mark, others = side_by_side(stores, folder.name, made_from, MARK)
    target, parts = mark.path.parent, mark.path.parent / "shards"
    if mark.is_finished:
        shutil.rmtree(parts, ignore_errors=True)  # left by a build that was killed at its very end
        return Store.open(target)

    mark.tell_why_again(path for path in others if _is_of(path, folder))
    with locked(target, "builds this store"):
        # The clips are read into shards, which a killed build need not read again.
        pieces = shards.build(index.path.tolist(), parts, landmarks, workers, skip_broken)
        clips = _clips_table(folder, index, pieces)
        # Then the shards become one array, and the mark makes it a store.
        shards.join(pieces, target / LANDMARKS, len(landmarks))
        write_atomically(target / CLIPS, lambda path: clips.to_parquet(path, index=False))
        result = {
            "landmarks": landmarks,
            "signs": signs,
            "source": str(folder),
            "skipped": [reason for piece in pieces for reason in piece.broken],
            "sizes": digest_of([stamp(path)[0] for path in index.path]),
            "contents": digest_of([clip for piece in pieces for clip in piece.contents]),
        }
        mark.write(result)
        shutil.rmtree(parts, ignore_errors=True)
    return Store.open(target)


def _is_of(manifest: Path, folder: Path) -> bool:
    """True if a store is of this very folder, not of another of the same name."""
    result = Mark(manifest).result
    return isinstance(result, dict) and result.get("source") == str(folder)


def _made_from(
    index: pd.DataFrame, signs: dict[str, int], landmarks: tuple[int, ...], skip_broken: bool
) -> dict:
    """What a store depends on: of clips only size and time, because reading them takes long."""
    rows = index[["sequence", "participant", "label", "training_only"]].to_dict("split")["data"]
    return {
        "format": FORMAT,
        "clips": digest_of([rows, [stamp(path) for path in index.path]]),
        # A sign may be renamed, or have no clips; the labels show neither.
        "signs": digest_of(sorted(signs.items())),
        "landmarks": digest_of(landmarks),
        "skip_broken": skip_broken,
    }


def _read_indices(folder: Path, extra: Sequence[Path], signs: dict[str, int]) -> pd.DataFrame:
    """The clips of all folders."""
    main = competition.read_index(folder, signs)
    split = main.get(competition.SPLIT)
    if split is not None and split.nunique() == 1:
        raise InputError(
            f"{folder}: expected clips to train on and clips to test on, found {competition.SPLIT} "
            f"= {split[0]} for all; correct it in train.csv, or in Slovo's format in "
            f"{SLOVO_INDEX}"
        )
    # A folder may name its test clips itself; its column then reaches `_clips_table`.
    tables = [main.assign(training_only=main.get(competition.SPLIT, False))]
    names = [path.name for path in extra]
    if len(set(names)) < len(names):
        raise InputError(
            f"EXTRA_DATA: expected folders of different names, which name the participants, "
            f"found {', '.join(map(str, extra))}; rename one"
        )
    tables += [_read_extra(path, folder, signs) for path in extra]
    index = pd.concat(tables, ignore_index=True)
    twice = index.path[index.path.duplicated()]
    if len(twice):  # a held-out clip would also be learnt from
        raise InputError(
            f"EXTRA_DATA: expected clips that are not in {folder} or in another of these folders, "
            f"found {len(twice)} that are, the first {twice.iloc[0]}; name each folder once"
        )
    return index


def _read_extra(extra: Path, folder: Path, signs: dict[str, int]) -> pd.DataFrame:
    """The clips of an extra folder, those of the main folder's signs."""
    # An extra folder's labels are not used, and one sign is enough there.
    theirs = competition.read_signs(extra, fewest=1)
    table = competition.read_index(extra, theirs).drop(columns=competition.SPLIT, errors="ignore")
    known = table.sign.isin(list(signs))
    if unknown := sorted({*table.sign[~known]}):
        if not known.any():
            raise InputError(
                f"EXTRA_DATA: expected clips of the signs of {folder}, found none in {extra}, "
                f"but of {competition.some(unknown)}; spell signs alike, or leave it out"
            )
        say(
            f"{(~known).sum()} of {len(table)} clips of {extra} left out, because their signs "
            f"are not in the map of {folder}: {competition.some(unknown)}"
        )
    table = table[known].assign(training_only=True)
    # Another folder's participant 7 is another person, and its sequence 7 another clip.
    table["participant"] = extra.name + "/" + table.participant
    table["sequence"] = extra.name + "/" + table.sequence
    table["label"] = table.sign.map(signs).astype("int64")
    return table


def _clips_table(folder: Path, index: pd.DataFrame, pieces: Sequence[shards.Shard]) -> pd.DataFrame:
    """The rows of clips.parquet: those of the index whose clips are whole."""
    lengths = np.concatenate([piece.lengths for piece in pieces])
    clips = index[lengths > 0].drop(columns="path").reset_index(drop=True)
    if clips.empty:
        raise InputError(f"{folder}: no clip is whole; the first error: {pieces[0].broken[0]}")
    clips["length"] = lengths[lengths > 0]
    clips["offset"] = clips.length.cumsum() - clips.length
    clips["fold"] = folds.assign(clips, divided=competition.SPLIT in clips)
    return clips.drop(columns=competition.SPLIT, errors="ignore")


# --- opening ------------------------------------------------------------------------------------


def _read_manifest(folder: Path) -> dict:
    """The manifest that `build` wrote with the mark, checked."""
    mark = Mark(folder / MARK)
    path, manifest, version = mark.path, mark.result, mark.made_from_then.get("format", "none")
    whole = version == FORMAT and isinstance(manifest, dict)
    _expect(whole, path, f"the mark of a finished store of format {FORMAT}", f"format {version}")
    landmarks, signs = manifest.get("landmarks"), manifest.get("signs")
    ascend = _are_whole(landmarks) and landmarks == sorted({*landmarks} & {*range(N_LANDMARKS)})
    _expect(ascend, path, f"landmarks from 0 to {N_LANDMARKS - 1}, ascending")
    labels = [*signs.values()] if isinstance(signs, dict) else None
    counted = _are_whole(labels) and sorted(labels) == [*range(len(labels))]
    _expect(counted, path, "signs numbered 0 to K-1, each once")
    _expect(isinstance(manifest.get("skipped"), list), path, "a list of skipped clips", "none")
    _expect(isinstance(manifest.get("sizes"), str), path, "a digest of the clips' sizes", "none")
    return manifest


def _are_whole(numbers: object) -> bool:
    return isinstance(numbers, list) and {type(number) for number in numbers} == {int}


_COLUMNS = {  # of clips.parquet, and what they hold
    **dict.fromkeys(("offset", "length", "label", "fold"), "int64"),
    **dict.fromkeys(("participant", "sequence", "sign"), "text"),
    "training_only": "bool",
}


def _read_clips(path: Path, signs: dict[str, int]) -> pd.DataFrame:
    with refusing(path, "a file that preparation wrote", _REBUILD):
        clips = pd.read_parquet(path)
    for name, kind in _COLUMNS.items():
        fits = [*clips.columns].count(name) == 1
        if fits and kind == "text":
            fits = all(isinstance(value, str) for value in clips[name].unique())
        elif fits:
            fits = clips[name].dtype == kind
        _expect(fits, path, f"one column {name!r} of {kind}")
    _expect(len(clips) > 0, path, "at least one clip", "none")
    _expect(clips.length.min() >= 1, path, "clips of at least one frame")
    ends = clips.length.cumsum()
    _expect((clips.offset == ends - clips.length).all(), path, "clips that lie end to end")
    _expect(clips.sequence.is_unique, path, "every sequence once")
    right = (clips.sign.map(signs) == clips.label).all()
    _expect(right, path, f"the labels that {MARK} gives the signs")
    return clips


def _expect(fits: bool | np.bool_, path: Path, expected: str, found: object = "others") -> None:
    if not fits:
        raise InputError(f"{path}: expected {expected}, found {found}; {_REBUILD}")
