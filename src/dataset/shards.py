"""Shards: the pieces that a store is built in, so that a killed build goes on where it stopped.

- A shard is an array file. The mark beside it says how many frames each of its clips has; a shard
  of another size is written again.
- Workers are spawned, not forked: pyarrow's and torch's threads do not survive a fork. This file
  and its imports do without torch, whose import would delay a worker by a second and a half.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from src.common.errors import InputError
from src.common.files import write_atomically
from src.common.marks import Mark, digest_of
from src.common.news import counted
from src.common.processes import end_with_parent
from src.dataset.clip_file import footer_of, read_clip

CLIPS_PER_SHARD = 256  # some 8 MB; a kill costs a worker at most this much
SHARDS_PER_WORKER = 4  # at least: starting a worker takes half a second, as long as a shard or two
HEADER = 128  # bytes before the float16 numbers of an array file


@dataclass(frozen=True)
class Shard:
    """Consecutive clips of a store in a file of their own."""

    data: Path  # an array file, (frames, landmarks, 3) float16
    lengths: list[int]  # the frames of each clip; 0 = the clip is broken
    broken: list[str]  # the reason for each broken clip
    contents: list[str]  # for each whole clip, a digest of what its file says that it holds


def build(
    paths: Sequence[str],
    folder: Path,
    landmarks: tuple[int, ...],
    workers: int | None,
    skip_broken: bool,
) -> list[Shard]:
    """Write all shards of these clips that are not in the folder yet, see `store.build`."""
    tasks = [
        (paths[i : i + CLIPS_PER_SHARD], folder / f"{k:05}.npy", landmarks, skip_broken)
        for k, i in enumerate(range(0, len(paths), CLIPS_PER_SHARD))
    ]
    if workers is None:
        workers = min(os.cpu_count() or 1, len(tasks) // SHARDS_PER_WORKER)
    made = _in_processes(tasks, min(workers, len(tasks)))
    shards = list(counted(made, "store", f"shards of {CLIPS_PER_SHARD} clips", len(tasks)))
    return sorted(shards, key=lambda shard: shard.data)


def join(shards: Sequence[Shard], target: Path, n_landmarks: int) -> None:
    """Write all shards as one array file."""
    n_frames = sum(sum(shard.lengths) for shard in shards)
    pieces = (np.load(shard.data) for shard in shards)  # one by one, so that memory does not grow
    _write_array(target, pieces, (n_frames, n_landmarks, 3))


def _write_array(target: Path, pieces: Iterable[np.ndarray], shape: tuple[int, int, int]) -> None:
    """Write pieces of float16 as one array of this shape."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for piece in pieces:
                file.write(piece.data)

    write_atomically(target, write)


def _in_processes(tasks: list[tuple], workers: int) -> Iterator[Shard]:
    """Build the shards, in this process if there is one worker. Yields them as they finish."""
    if workers <= 1:
        yield from (_build_shard(*task) for task in tasks)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=end_with_parent) as pool:
        jobs = [pool.submit(_build_shard, *task) for task in tasks]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _build_shard(
    paths: list[str], target: Path, landmarks: tuple[int, ...], skip_broken: bool
) -> Shard:
    """Write one shard, unless a killed build left it there."""
    # Until December 2026 a shard's mark had no contents.
    made_from = {"clips": digest_of(paths), "landmarks": len(landmarks), "contents": "footers"}
    mark = Mark(target.with_suffix(".json"), made_from)
    if mark.is_finished and target.is_file():
        shard = Shard(target, **mark.result)
        if target.stat().st_size == HEADER + 2 * sum(shard.lengths) * len(landmarks) * 3:
            return shard
    clips, broken, contents = [], [], []
    for path in paths:
        try:
            clip = read_clip(path, landmarks)
            contents.append(digest_of(footer_of(path).hex()))
        except InputError as error:
            if not skip_broken:
                raise InputError(
                    f"{error}. To go on without such clips, say so: SKIP_BROKEN=True"
                ) from error
            broken.append(str(error))
            clip = np.empty((0, len(landmarks), 3), np.float32)
        clips.append(clip.astype(np.float16))
    lengths = [len(clip) for clip in clips]
    _write_array(target, clips, (sum(lengths), len(landmarks), 3))
    mark.write({"lengths": lengths, "broken": broken, "contents": contents})
    return Shard(target, lengths, broken, contents)
