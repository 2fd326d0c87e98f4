"""Training windows, gathered on the device.

- The windows of a step depend on (seed, step) only, so a training that goes on after a kill sees
  the same windows as an unbroken one.
- A window has only as many frames as the network needs, so short clips can be used.
  motion-transformer draws 144 frames, shows its network the first 121, and skips shorter clips.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
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
        truths: the same frames, with NaN where nothing was observed; None if there are no gaps.
        span: frames of a window.
        batch: windows of a batch.
        sampling: "uniform": every window is equally likely. "one per clip": in each epoch one
            random window of each clip (motion-transformer). "fixed": in each epoch, in random
            order, the windows that start at multiples of 120 and have 180 frames (fairmotion).
        seed: seed of the random numbers.

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
        needed, stride = (max(span, SPAN), STRIDE) if sampling == "fixed" else (span, 1)
        firsts = accumulate(map(len, clips), initial=0)
        self.starts = [  # for each clip that is long enough, the frames where a window can begin
            torch.arange(first, first + len(clip) - needed + 1, stride)
            for first, clip in zip(firsts, clips, strict=False)
            if len(clip) >= needed
        ]
        if not self.starts:
            longest = max(map(len, clips), default=0)
            raise InputError(
                f"expected a training clip of {needed} frames, a window's length; the longest of "
                f"{len(clips)} has {longest}: choose a shorter window or add longer clips"
            )
        self.all_starts = torch.cat(self.starts)
        windows = len(self.starts if sampling == "one per clip" else self.all_starts)
        self.per_epoch = max(batch, windows // batch * batch)  # windows, in whole batches

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: frames and truth, each (B, span, J, M)."""
        if self.sampling == "uniform":
            drawn = torch.randint(
                len(self.all_starts), (self.batch,), generator=self._generator(step)
            )
            starts = self.all_starts[drawn]
        else:
            epoch, first = divmod(step * self.batch, self.per_epoch)
            starts = self._epoch(epoch)[first : first + self.batch]
        index = (starts[:, None] + torch.arange(self.span)).to(self.frames.device)
        return self.frames[index], self.truth[index]

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + number)

    @lru_cache(maxsize=1)  # noqa: B019  a training has one sampler, which keeps one epoch
    def _epoch(self, number: int) -> Int[Tensor, "E"]:
        generator, starts = self._generator(number), self.all_starts
        if self.sampling == "one per clip":
            starts = torch.stack([
                own[torch.randint(len(own), (), generator=generator)] for own in self.starts
            ])  # fmt: skip
        shuffled = starts[torch.randperm(len(starts), generator=generator)]
        return shuffled.repeat(-(-self.per_epoch // len(shuffled)))  # an epoch may be below a batch
