"""The pieces that a store's build is made of, so that a killed build goes on where it was.

- A shard is an array file of its own, written under a temporary name and renamed; a note beside it
  says how many frames each of its clips has. A shard that does not fit its note is written again.
- The first shard grows into the whole array: the others are appended to it, and it is renamed. The
  build writes a small store once, and a large one not much more than twice.
- Workers are spawned, not forked: pyarrow's and torch's threads do not survive a fork.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import IO

import numpy as np
import torch
from tqdm.auto import tqdm

from src.common.errors import InputError
from src.common.files import needing_room, write_atomically, write_json
from src.dataset.clip_file import read_clip

CLIPS_PER_SHARD = 256  # some 8 MB a shard: short enough to lose
SHARDS_PER_WORKER = 4  # at least: a worker starts in 2 s, as long as a shard takes from a slow disk
AT_ONCE = 16  # clips turned into float16 together: a call costs more than one clip's numbers
HEADER = 128  # bytes before the numbers of an array file, whatever its shape
_COPY = 1 << 20  # bytes at a time, which fit the cache


@dataclass(frozen=True)
class Shard:
    """A run of clips on disk: float16 rows in `data`, what they are in the note beside it."""

    data: Path
    lengths: list[int]  # frames of each clip, 0 = broken
    broken: list[str]  # why


def build(
    paths: Sequence[str],
    folder: Path,
    landmarks: tuple[int, ...],
    workers: int | None = None,
    skip_broken: bool = False,
) -> list[Shard]:
    """Write all shards that are not there yet.

    Args:
        paths: of the clips, in the store's order.
        folder: where the shards go.
        landmarks: the frame rows to keep.
        workers: processes; None = one per core, if there are shards enough for each.
        skip_broken: give broken clips no frames, instead of stopping.

    Raises:
        InputError: a clip is not as Kaggle ships it.
    """
    pieces = [list(paths[i : i + CLIPS_PER_SHARD]) for i in range(0, len(paths), CLIPS_PER_SHARD)]
    if workers is None:
        workers = min(os.cpu_count() or 1, len(pieces) // SHARDS_PER_WORKER)
    workers = min(workers, len(pieces))
    tasks = [
        (piece, folder / f"{k:05}.npy", landmarks, skip_broken) for k, piece in enumerate(pieces)
    ]
    shards: dict[int, Shard] = {}
    with tqdm(total=len(paths), unit="clip", desc="store", disable=None) as bar:
        for k, shard in _in_processes(tasks, workers):
            shards[k] = shard
            bar.update(len(shard.lengths))
    return [shards[k] for k in range(len(pieces))]


def join(shards: Sequence[Shard], target: Path, n_landmarks: int) -> None:
    """Make one array file of all shards; they are gone afterwards.

    A kill in between leaves a first shard that does not fit its note, or none.

    Raises:
        InputError: the disk is full.
    """
    first, *others = shards
    n_frames = sum(sum(shard.lengths) for shard in shards)
    with needing_room(target), first.data.open("rb+") as whole:
        whole.seek(0, os.SEEK_END)
        for shard in others:
            with shard.data.open("rb") as piece:
                piece.seek(HEADER)
                shutil.copyfileobj(piece, whole, _COPY)
        whole.seek(0)
        _write_header(whole, n_frames, n_landmarks)
        whole.flush()
        os.fsync(whole.fileno())
    os.replace(first.data, target)


def _write_header(file: IO[bytes], n_frames: int, n_landmarks: int) -> None:
    header = {"descr": "<f2", "fortran_order": False, "shape": (n_frames, n_landmarks, 3)}
    np.lib.format.write_array_header_1_0(file, header)
    assert file.tell() == HEADER, "an array file's header has grown"


def _in_processes(tasks: list[tuple], workers: int) -> Iterator[tuple[int, Shard]]:
    """Build the shards, in whatever order they finish; in this process if one worker is enough."""
    if workers <= 1:
        yield from ((k, _build_shard(*task)) for k, task in enumerate(tasks))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        jobs = {pool.submit(_build_shard, *task): k for k, task in enumerate(tasks)}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    """One thread, for there is a worker per core; and end when the parent is killed.

    By itself it would wait for work for ever.
    """
    torch.set_num_threads(1)

    def wait() -> None:
        parent_process().join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _build_shard(
    paths: list[str], target: Path, landmarks: tuple[int, ...], skip_broken: bool
) -> Shard:
    """Write one shard, unless a whole one is there from an earlier build."""
    note = target.with_suffix(".json")
    if earlier := _whole_shard(target, note, len(paths), len(landmarks)):
        return earlier
    lengths, broken = [], []

    def write(path: Path) -> None:
        with path.open("wb") as file:
            _write_header(file, 0, len(landmarks))
            clips = _read_clips(paths, landmarks, skip_broken, broken)
            while group := list(islice(clips, AT_ONCE)):
                lengths.extend(map(len, group))
                # A quarter of the time that numpy takes.
                half = torch.from_numpy(np.concatenate(group)).half().numpy()
                file.write(half.data)  # tofile would empty the file's buffer every time
            file.seek(0)
            _write_header(file, sum(lengths), len(landmarks))

    write_atomically(target, write)
    write_json(note, {"lengths": lengths, "broken": broken})
    return Shard(target, lengths, broken)


def _whole_shard(target: Path, note: Path, n_clips: int, n_landmarks: int) -> Shard | None:
    """A shard of an earlier build; None if there is none, or its two files do not fit together."""
    try:
        shard = Shard(target, **json.loads(note.read_text()))
        size = HEADER + 2 * sum(shard.lengths) * n_landmarks * 3  # float16
        fits = len(shard.lengths) == n_clips and target.stat().st_size == size
    except (OSError, ValueError, TypeError):
        return None
    return shard if fits else None


def _read_clips(
    paths: list[str], landmarks: tuple[int, ...], skip_broken: bool, broken: list[str]
) -> Iterator[np.ndarray]:
    for path in paths:
        try:
            clip = read_clip(path, landmarks)
        except InputError as error:
            if not skip_broken:
                raise InputError(
                    f"{error}. To go on without such clips, say so: SKIP_BROKEN=True"
                ) from error
            broken.append(str(error))
            clip = np.empty((0, len(landmarks), 3), np.float32)
        yield clip
