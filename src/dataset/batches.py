"""Batches: a recipe's clips, prepared once, kept on the device, gathered by index.

- `prepare` runs a recipe's clip steps over the store once, and keeps the prepared clips beside it.
- An epoch is planned on the host and gathered on the device, so no step waits for the device.
- A batch holds clips of similar length, so little is padded: a random window of clips is
  sorted by length and cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float16, Int, Int64
from torch import Tensor

from src.clips import Clips
from src.common.files import write_atomically
from src.common.marks import side_by_side
from src.common.news import counted
from src.dataset.clip_file import LARGEST
from src.dataset.store import Store

Read = Callable[[Tensor, Sequence[int]], Tensor]  # rows (T, N, 3), their landmarks -> (T', L, 3)


@dataclass(frozen=True)
class ClipSet:
    """The prepared clips of one recipe: frames on a device, the clips' places on the host."""

    frames: Float16[Tensor, "frames L 3"]  # clip after clip, NaN = not detected
    offset: Int64[np.ndarray, " clips"]  # the first frame of each clip
    length: Int64[np.ndarray, " clips"]  # its frames
    label: Int64[np.ndarray, " clips"]  # its sign
    signer: Int64[np.ndarray, " clips"]  # who signs it, as a number

    def __len__(self) -> int:
        return len(self.length)

    @cached_property
    def _on_device(self) -> tuple[Tensor, Tensor, Tensor]:
        columns = (self.offset, self.length, self.label)
        return tuple(torch.from_numpy(column).to(self.frames.device) for column in columns)

    def gather(self, index: Int[Tensor, " B"], n_frames: int) -> Clips:
        """The clips of `index`, padded to `n_frames`, no less than the longest clip's length."""
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
        columns = (self.offset, self.length, self.label, self.signer)
        return ClipSet(self.frames, *(column[index] for column in columns))


def prepare(store: Store, read: Read, key: str, device: torch.device | str = "cpu") -> ClipSet:
    """Run a recipe's clip steps over the whole store, or open the clips of an earlier run.

    `key` is a text of everything besides the store that the prepared clips depend on.
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
    label = store.clips.label.to_numpy(np.int64, copy=True)
    signer = pd.factorize(store.clips.participant)[0].astype(np.int64)
    return ClipSet(frames, np.cumsum(length) - length, length, label, signer)


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
    length: np.ndarray,
    batch_size: int,
    rng: np.random.Generator | None,
    window: int = 50,
) -> Iterator[np.ndarray]:
    """The batches of one epoch: indices of clips of similar length.

    An incomplete batch is left out, unless there is no other.

    Args:
        length: frames of every clip.
        batch_size: in clips.
        rng: for the random order; None = all clips, sorted by length, for evaluation.
        window: how many batches are sorted together; 1 = random batches, 0 = all of them.
    """
    if rng is None:
        order = np.argsort(length, kind="stable")
        yield from (order[i : i + batch_size] for i in range(0, len(order), batch_size))
        return
    order = rng.permutation(len(length))
    if len(order) > batch_size:
        order = order[: len(order) - len(order) % batch_size]
    # In each window of random clips, clips of similar length become a batch.
    window = window * batch_size or len(order)
    batches = []
    for start in range(0, len(order), window):
        piece = order[start : start + window]
        piece = piece[np.argsort(length[piece], kind="stable")]
        batches += [piece[i : i + batch_size] for i in range(0, len(piece), batch_size)]
    rng.shuffle(batches)  # so that no epoch goes from short to long clips
    yield from batches


def donors(clips: ClipSet, index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each clip of `index`, draw a clip of the same sign by another signer.

    If nobody else performs the sign, draw another clip of it; if there is none, the clip itself.
    """
    label, signer = clips.label, clips.signer
    # The clips are sorted by sign, then by signer: a sign has the `count` places from `first` on,
    # and within them its signer has the `size` places from `start` on.
    both = label * (signer.max() + 1) + signer
    order = np.argsort(both, kind="stable")
    first, last = (np.searchsorted(label[order], label[index], side) for side in ("left", "right"))
    start, end = (np.searchsorted(both[order], both[index], side) for side in ("left", "right"))
    count, size = last - first, end - start

    # Leave out the signer's clips; if there are no others, the clip; if it is alone, nothing.
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    start = np.where(size == count, rank[index], start)
    size = np.where(size == count, np.minimum(count - 1, 1), size)
    chosen = first + rng.integers(0, count - size)
    return order[np.where(chosen >= start, chosen + size, chosen)]
