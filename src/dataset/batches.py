"""Batches: a recipe's clips, prepared once, resident on the device, gathered by index.

- `prepare` runs a recipe's clip steps over the store once and keeps the answer beside it.
- Batches are cut from clips sorted by length within a shuffled window, so that little is padded;
  the window keeps the order random.
- The host plans an epoch; the device gathers. Nothing in a step waits for the device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from src.clips import Clips
from src.common.files import write_atomically
from src.dataset.clip_file import LARGEST
from src.dataset.store import Store

WINDOW = 50  # batches that are sorted by length together
Read = Callable[[Tensor, Sequence[int]], Tensor]  # rows (T, N, 3), their landmarks -> (T', L, 3)


@dataclass(frozen=True)
class ClipSet:
    """Clips of one recipe: the frames on one device, where each clip lies on the host.

    Args:
        frames: (N, L, 3) float16, clip after clip, NaN = not detected.
        offset: (clips,) int64, the first frame of each clip.
        length: (clips,) int64, the frames of each clip.
        label: (clips,) int64, the sign of each clip.
    """

    frames: Tensor
    offset: np.ndarray
    length: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.length)

    @cached_property
    def _on_device(self) -> tuple[Tensor, Tensor, Tensor]:
        columns = (self.offset, self.length, self.label)
        return tuple(torch.from_numpy(column).to(self.frames.device) for column in columns)

    def gather(self, index: Int[Tensor, " B"], n_frames: int) -> Clips:
        """The clips of `index`, padded to `n_frames`, which no clip must exceed."""
        offset, length, label = (column[index] for column in self._on_device)
        t = torch.arange(n_frames, device=self.frames.device)
        frame = offset[:, None] + torch.minimum(t, length[:, None] - 1)
        return Clips(self.frames[frame].float(), t < length[:, None], label)

    def real_frames(self) -> Iterator[Float[Tensor, "_ L 3"]]:
        """All frames of these clips, a clip at a time."""
        for start, length in zip(self.offset.tolist(), self.length.tolist(), strict=True):
            yield self.frames[start : start + length].float()

    def subset(self, index: np.ndarray) -> ClipSet:
        """Some of the clips; the frames are shared."""
        return replace(
            self, offset=self.offset[index], length=self.length[index], label=self.label[index]
        )


def prepare(store: Store, read: Read, key: str, device: torch.device | str = "cpu") -> ClipSet:
    """Run a recipe's clip steps over the whole store, or open what an earlier run kept.

    Args:
        store: the clips.
        read: the recipe's function of one clip.
        key: says everything that the answer depends on besides the store.
        device: where the frames will live.
    """
    folder = store.folder / "prepared" / hashlib.sha256(key.encode()).hexdigest()[:12]
    if not (folder / "length.npy").is_file():  # written last
        _prepare(store, read, folder)
    length = np.load(folder / "length.npy")
    # Copy on write: torch wants memory that it may write to, and the pages stay the file's.
    flat = np.memmap(folder / "frames.f16", np.float16, mode="c")
    frames = torch.from_numpy(flat.reshape(length.sum(), -1, 3)).to(device)
    return ClipSet(
        frames, np.cumsum(length) - length, length, store.clips.label.to_numpy(np.int64, copy=True)
    )


def _prepare(store: Store, read: Read, folder: Path) -> None:
    length = np.zeros(len(store), np.int64)

    def write(path: Path) -> None:  # one clip at a time: memory stays flat
        bar = tqdm(range(len(store)), unit="clip", desc="clip steps", disable=None, leave=False)
        with path.open("wb") as file:
            for i in bar:
                clip = read(torch.from_numpy(store.clip(i)), store.landmarks)
                length[i] = len(clip)
                # Centring can double what just fits float16; infinity would spoil the training.
                clip.clamp(-LARGEST, LARGEST).to(torch.float16).numpy().tofile(file)

    write_atomically(folder / "frames.f16", write)
    write_atomically(folder / "length.npy", lambda path: np.save(path, length))


def plan(
    length: np.ndarray, batch_size: int, rng: np.random.Generator | None, drop_last: bool = True
) -> Iterator[np.ndarray]:
    """The batches of one epoch: indices of clips of similar length.

    Args:
        length: (clips,) frames.
        batch_size: clips in a batch.
        rng: the order is random; None sorts all clips by length, for evaluation.
        drop_last: leave out the incomplete batch, unless there is no other.

    Yields:
        (batch_size,) indices.
    """
    if rng is None:
        order = np.argsort(length, kind="stable")
        yield from (order[i : i + batch_size] for i in range(0, len(order), batch_size))
        return
    order = rng.permutation(len(length))
    if drop_last and len(order) > batch_size:
        order = order[: len(order) - len(order) % batch_size]
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
    by_sign = np.argsort(label, kind="stable")
    first = np.searchsorted(label[by_sign], label[index])
    count = np.searchsorted(label[by_sign], label[index], side="right") - first
    rank = np.empty_like(by_sign)
    rank[by_sign] = np.arange(len(by_sign))
    step = 1 + rng.integers(0, np.maximum(count - 1, 1))
    return by_sign[first + (rank[index] - first + step) % count]
