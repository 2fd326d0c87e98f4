"""Shards: the pieces that a store is built in, so that a killed build goes on where it was.

- A shard is an array file. The mark beside it says how many frames each of its clips has; a shard
  of another size is written again.
- The first shard becomes the whole array: the others are appended to it, and it is renamed. So a
  store of one shard is written once, and a large one twice.
- Workers are spawned, not forked: pyarrow's and torch's threads do not survive a fork.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import IO

import numpy as np
import torch

from src.common.errors import InputError
from src.common.files import needing_room, write_atomically
from src.common.marks import Mark, digest_of
from src.common.news import counted
from src.dataset.clip_file import read_clip

CLIPS_PER_SHARD = 256  # some 8 MB, and so much work a kill may cost
SHARDS_PER_WORKER = 4  # at least: a worker takes 2 s to start, as long as a shard from a slow disk
HEADER = 128  # bytes before the numbers of an array file, whatever its shape


@dataclass(frozen=True)
class Shard:
    """Consecutive clips of a store in a file of their own."""

    data: Path  # an array file, (frames, landmarks, 3) float16
    lengths: list[int]  # the frames of each clip; 0 = the clip is broken
    broken: list[str]  # the reason for each broken clip


def build(
    paths: Sequence[str],
    folder: Path,
    landmarks: tuple[int, ...],
    workers: int | None,
    skip_broken: bool,
) -> list[Shard]:
    """Write all shards of these clips that are not in the folder yet, see `store.build`."""
    pieces = [list(paths[i : i + CLIPS_PER_SHARD]) for i in range(0, len(paths), CLIPS_PER_SHARD)]
    targets = [folder / f"{k:05}.npy" for k in range(len(pieces))]
    tasks = [(*pair, landmarks, skip_broken) for pair in zip(pieces, targets, strict=True)]
    if workers is None:
        workers = min(os.cpu_count() or 1, len(pieces) // SHARDS_PER_WORKER)
    workers = min(workers, len(pieces))
    made = _in_processes(tasks, workers)
    shards = list(counted(made, "store", f"shards of {CLIPS_PER_SHARD} clips", len(tasks)))
    return sorted(shards, key=lambda shard: shard.data)


def join(shards: Sequence[Shard], target: Path, n_landmarks: int) -> None:
    """Make one array file of all shards: the first grows, beyond the size that its mark says."""
    first, *others = shards
    n_frames = sum(sum(shard.lengths) for shard in shards)
    with needing_room(target), first.data.open("rb+") as whole:
        whole.seek(0, os.SEEK_END)
        for shard in others:
            with shard.data.open("rb") as piece:
                piece.seek(HEADER)
                shutil.copyfileobj(piece, whole)
        whole.seek(0)
        _write_header(whole, n_frames, n_landmarks)
        whole.flush()
        os.fsync(whole.fileno())
    os.replace(first.data, target)


def _write_header(file: IO[bytes], n_frames: int, n_landmarks: int) -> None:
    header = {"descr": "<f2", "fortran_order": False, "shape": (n_frames, n_landmarks, 3)}
    np.lib.format.write_array_header_1_0(file, header)
    assert file.tell() == HEADER, "the header of array files has another size"


def _in_processes(tasks: list[tuple], workers: int) -> Iterator[Shard]:
    """Build the shards, in this process if there is one worker. Yields them as they finish."""
    if workers <= 1:
        yield from (_build_shard(*task) for task in tasks)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        jobs = [pool.submit(_build_shard, *task) for task in tasks]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    """Give the worker, one per core, one thread, and end it when its parent is killed.

    Without its parent it would wait for work for ever.
    """
    torch.set_num_threads(1)

    def wait() -> None:
        parent_process().join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _build_shard(
    paths: list[str], target: Path, landmarks: tuple[int, ...], skip_broken: bool
) -> Shard:
    """Write one shard, unless a whole one is there from a killed build."""
    made_from = {"clips": digest_of(paths), "landmarks": len(landmarks)}
    mark = Mark(target.with_suffix(".json"), made_from)
    if mark.is_finished:
        shard = Shard(target, **mark.result)
        size = HEADER + 2 * sum(shard.lengths) * len(landmarks) * 3  # float16
        if target.is_file() and target.stat().st_size == size:
            return shard
    lengths, broken = [], []

    def write(path: Path) -> None:
        with path.open("wb") as file:
            _write_header(file, 0, len(landmarks))
            for clip in _read_clips(paths, landmarks, skip_broken, broken):
                lengths.append(len(clip))
                # torch takes a quarter of numpy's time, and tofile would empty the file's buffer.
                file.write(torch.from_numpy(clip).half().numpy().data)
            file.seek(0)
            _write_header(file, sum(lengths), len(landmarks))

    write_atomically(target, write)
    mark.write({"lengths": lengths, "broken": broken})
    return Shard(target, lengths, broken)


def _read_clips(
    paths: list[str], landmarks: tuple[int, ...], skip_broken: bool, broken: list[str]
) -> Iterator[np.ndarray]:
    """Every clip; for a broken one no frames, and the reason at the end of `broken`."""
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
