"""Training windows, gathered on the device.

The windows of a step depend on (seed, step) only, so a training that goes on after a kill sees the
same windows as an unbroken one.

Letters: **B** windows, **T** frames, **J** joints, **M** channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from src.common.errors import InputError
from src.motion.data.windows import SPAN, STRIDE

Sampling = Literal["uniform", "one per clip", "fixed"]


class WindowSampler:
    """Batches of windows from clips.

    Args:
        clips: each (T, J, M), no NaN.
        truths: the same frames with NaN where nothing was observed; None if there are no gaps.
        span: frames of a window.
        batch: windows of a batch.
        sampling: "uniform": every window is equally likely. "one per clip": in each epoch one
            random window of each clip (motion-transformer). "fixed": in each epoch, in random
            order, the windows that start at multiples of 120 and have 180 frames (fairmotion).
        seed: of the random numbers.

    Raises:
        InputError: no clip is long enough.
    """

    def __init__(
        self,
        clips: Sequence[Float[Tensor, "_ J M"]],
        truths: Sequence[Float[Tensor, "_ J M"]] | None,
        span: int,
        batch: int,
        sampling: Sampling,
        seed: int,
    ):
        self.frames = torch.cat(list(clips))
        self.truth = self.frames if truths is None else torch.cat(list(truths))
        self.span, self.batch, self.sampling, self.seed = span, batch, sampling, seed
        needed = max(span, SPAN) if sampling == "fixed" else span
        offset, self.spans = 0, []
        for clip in clips:
            if len(clip) >= needed:
                self.spans.append((offset, len(clip)))
            offset += len(clip)
        if not self.spans:
            longest = max(map(len, clips), default=0)
            raise InputError(
                f"expected a training clip of {needed} frames, a window's length; the longest of "
                f"{len(clips)} has {longest}: choose a shorter window or add longer clips"
            )

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: frames and truth, each (B, span, J, M)."""
        if self.sampling == "uniform":
            generator = self._generator(step)
            starts = self._uniform(generator)
        else:
            order = self._epoch(step * self.batch // self.per_epoch)
            first = step * self.batch % self.per_epoch
            starts = order[first : first + self.batch]
        index = starts.to(self.frames.device)[:, None] + torch.arange(
            self.span, device=self.frames.device
        )
        return self.frames[index], self.truth[index]

    @property
    def per_epoch(self) -> int:
        """Windows of an epoch, in whole batches."""
        windows = len(self._starts(torch.Generator()))
        return max(self.batch, windows // self.batch * self.batch)

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + number)

    def _uniform(self, generator: torch.Generator) -> Int[Tensor, "B"]:
        # Number all windows of all clips, draw numbers, then find each number's clip.
        room = torch.tensor([length - self.span + 1 for _, length in self.spans])
        offsets = torch.tensor([offset for offset, _ in self.spans])
        drawn = torch.randint(int(room.sum()), (self.batch,), generator=generator)
        clip = torch.searchsorted(room.cumsum(0), drawn, right=True)
        return offsets[clip] + drawn - (room.cumsum(0) - room)[clip]

    @lru_cache(maxsize=1)  # noqa: B019  a training has one sampler; the current epoch is held
    def _epoch(self, number: int) -> Int[Tensor, "E"]:
        generator = self._generator(number)
        starts = self._starts(generator)
        shuffled = starts[torch.randperm(len(starts), generator=generator)]
        return shuffled.repeat(-(-self.per_epoch // len(shuffled)))  # a batch may exceed an epoch

    def _starts(self, generator: torch.Generator) -> Int[Tensor, "E"]:
        if self.sampling == "one per clip":
            return torch.tensor([
                offset + int(torch.randint(length - self.span + 1, (), generator=generator))
                for offset, length in self.spans
            ])  # fmt: skip
        return torch.tensor([
            offset + start
            for offset, length in self.spans
            for start in range(0, length - SPAN + 1, STRIDE)
        ])  # fmt: skip
