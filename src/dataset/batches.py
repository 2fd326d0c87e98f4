"""Batches: a recipe's clips, prepared once, kept on the device, gathered by index.

- `prepare` runs a recipe's clip steps over the store once, and keeps the prepared clips beside it.
- An epoch is planned on the host and gathered on the device, so no step waits for the device.
- A batch holds clips of similar length, so that little is padded: a random window of clips is
  sorted by length and cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16, Int, Int64
from torch import Tensor

from src.clips import Clips
from src.common.files import write_atomically
from src.common.marks import side_by_side
from src.common.news import counted
from src.dataset.clip_file import LARGEST
from src.dataset.store import Store

WINDOW = 50  # batches in a window
Read = Callable[[Tensor, Sequence[int]], Tensor]  # rows (T, N, 3), their landmarks -> (T', L, 3)


@dataclass(frozen=True)
class ClipSet:
    """The prepared clips of one recipe: frames on a device, the clips' places on the host."""

    frames: Float16[Tensor, "frames L 3"]  # clip after clip, NaN = not detected
    offset: Int64[np.ndarray, " clips"]  # the first frame of each clip
    length: Int64[np.ndarray, " clips"]  # its frames
    label: Int64[np.ndarray, " clips"]  # its sign

    def __len__(self) -> int:
        return len(self.length)

    @cached_property
    def _on_device(self) -> tuple[Tensor, Tensor, Tensor]:
        columns = (self.offset, self.length, self.label)
        return tuple(torch.from_numpy(column).to(self.frames.device) for column in columns)

    def gather(self, index: Int[Tensor, " B"], n_frames: int) -> Clips:
        """The clips of `index`, padded to `n_frames`, at least the frames of the longest clip."""
        offset, length, label = (column[index] for column in self._on_device)
        t = torch.arange(n_frames, device=self.frames.device)
        frame = offset[:, None] + torch.minimum(t, length[:, None] - 1)
        return Clips(self.frames[frame].float(), t < length[:, None], label)

    def real_frames(self) -> Iterator[Float[Tensor, "_ L 3"]]:
        """The frames of each clip, unpadded."""
        for start, length in zip(self.offset.tolist(), self.length.tolist(), strict=True):
            yield self.frames[start : start + length].float()

    def subset(self, index: np.ndarray) -> ClipSet:
        """Some of the clips; the frames are shared."""
        columns = (self.offset[index], self.length[index], self.label[index])
        return ClipSet(self.frames, *columns)


def prepare(store: Store, read: Read, key: str, device: torch.device | str = "cpu") -> ClipSet:
    """Run a recipe's clip steps over the whole store, or open the clips of an earlier run.

    `key` is a text of all that the prepared clips depend on, besides the store.
    """
    mark, _ = side_by_side(store.folder / "prepared", "clips", {"clip steps": key}, "prepared.json")
    folder = mark.path.parent
    if not mark.is_finished:
        _prepare(store, read, folder)
        mark.write()
    length = np.load(folder / "length.npy")
    # torch wants memory that it may write to; with copy-on-write the file stays as it is.
    flat = np.memmap(folder / "frames.f16", np.float16, mode="c")
    frames = torch.from_numpy(flat.reshape(length.sum(), -1, 3)).to(device)
    return ClipSet(
        frames, np.cumsum(length) - length, length, store.clips.label.to_numpy(np.int64, copy=True)
    )


def _prepare(store: Store, read: Read, folder: Path) -> None:
    length = np.zeros(len(store), np.int64)

    def write(path: Path) -> None:  # one clip at a time, so that memory does not grow
        with path.open("wb") as file:
            for i in counted(range(len(store)), "clip steps", "clips"):
                clip = read(torch.from_numpy(store.clip(i)), store.landmarks)
                length[i] = len(clip)
                # Centring can double a coordinate that just fits float16, and infinity would spoil
                # the training.
                clip.clamp(-LARGEST, LARGEST).to(torch.float16).numpy().tofile(file)

    write_atomically(folder / "frames.f16", write)
    write_atomically(folder / "length.npy", lambda path: np.save(path, length))


def plan(
    length: np.ndarray, batch_size: int, rng: np.random.Generator | None
) -> Iterator[np.ndarray]:
    """The batches of one epoch: indices of clips of similar length.

    An incomplete batch is left out, unless there is no other. Without a generator of a random
    order, for evaluation, all clips are sorted by length and none is left out.
    """
    if rng is None:
        order = np.argsort(length, kind="stable")
        yield from (order[i : i + batch_size] for i in range(0, len(order), batch_size))
        return
    order = rng.permutation(len(length))
    if len(order) > batch_size:
        order = order[: len(order) - len(order) % batch_size]
    # Of a window of random clips, those of similar length become a batch; then the batches are
    # shuffled, lest an epoch go from short clips to long ones.
    window = WINDOW * batch_size
    batches = []
    for start in range(0, len(order), window):
        piece = order[start : start + window]
        piece = piece[np.argsort(length[piece], kind="stable")]
        batches += [piece[i : i + batch_size] for i in range(0, len(piece), batch_size)]
    rng.shuffle(batches)
    yield from batches


def donors(label: np.ndarray, index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each clip of `index` another clip of the same sign; itself if it is the only one."""
    # Clips sorted by sign: those of one sign are `count` neighbours, beginning at `first`.
    by_sign = np.argsort(label, kind="stable")
    first = np.searchsorted(label[by_sign], label[index])
    count = np.searchsorted(label[by_sign], label[index], side="right") - first
    # From its own place among them, each clip goes a random number of places on, round and round.
    rank = np.empty_like(by_sign)
    rank[by_sign] = np.arange(len(by_sign))
    step = 1 + rng.integers(0, np.maximum(count - 1, 1))
    return by_sign[first + (rank[index] - first + step) % count]
