"""Augmentations of speed: clips are resized in time like images, or stretched along lines.

Letters: **B** batch, **T** frames, **L** points, **N** = 4 frames that a new frame is made of.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import where_chosen
from src.transforms.augment.time import take_frames
from src.transforms.pipeline import Draw

LINEAR, CUBIC, NEAREST = range(3)  # kinds of interpolation


def tap_weights(after: Float[Tensor, "B T"], kind: Int[Tensor, " B"]) -> Float[Tensor, "B T N"]:
    """The weights of the four frames around an instant, `after` (0 to 1) frames past the second.

    The cubic is Keys' with a = -1/2, as in TensorFlow; torch uses -3/4.
    """
    u, none = after, torch.zeros_like(after)
    second = (u >= 0.5).to(u.dtype)
    by_kind = {
        LINEAR: (none, 1 - u, u, none),
        CUBIC: (
            ((-0.5 * u + 1) * u - 0.5) * u,
            (1.5 * u - 2.5) * u * u + 1,
            ((-1.5 * u + 2) * u + 0.5) * u,
            (0.5 * u - 0.5) * u * u,
        ),
        NEAREST: (none, 1 - second, second, none),
    }
    weights = torch.stack([torch.stack(by_kind[k], -1) for k in (LINEAR, CUBIC, NEAREST)])
    return weights[kind, torch.arange(len(kind), device=kind.device)]


def resampled(
    xyz: Float[Tensor, "B T L 3"],
    length: Int[Tensor, " B"],
    new_length: Int[Tensor, " B"],
    n_new: int,
    kind: Int[Tensor, " B"],
) -> Float[Tensor, "B T2 L 3"]:
    """Give each clip another number of frames, as TensorFlow resizes images.

    A new frame is a weighted mean of the four frames around it; those beyond the clip's ends do not
    count. It is NaN where a frame with a weight other than 0 is NaN. Frames are intervals: old and
    new ones fill the same time. The result is padded to `n_new` frames.
    """
    t = torch.arange(n_new, device=xyz.device)
    instant = (t + 0.5) * (length / new_length)[:, None] - 0.5  # the middle of each new frame
    before = instant.floor()
    around = torch.arange(-1, 3, device=xyz.device)  # four frames, two on each side of the instant
    frame = before.long()[..., None] + around  # (B, T2, N)
    inside = (frame >= 0) & (frame < length[:, None, None])
    weight = torch.where(inside, tap_weights(instant - before, kind), 0.0)
    weight = weight / weight.sum(-1, keepdim=True)
    frame = frame.clamp(0, xyz.shape[1] - 1)
    # Summed one at a time, to avoid a tensor four times as large as the batch.
    new = torch.zeros((), device=xyz.device)
    for part, tap in zip(weight.unbind(-1), frame.unbind(-1), strict=True):
        part = part[..., None, None]
        new = new + torch.where(part == 0, 0.0, part * take_frames(xyz, tap))
    return new


@dataclass(frozen=True)
class Resample:
    """Change the speed: n frames become floor(k n), but at least one, where k is from U(low, high).

    A share `linear` of the clips is interpolated linearly, a share `cubic` by cubics, and the rest
    take nearest frames. The batch is padded to the length that its longest clip could need, unless
    `p`, the probability per clip, is 0. Source: 1st place, anchors.md.
    """

    p: float
    low: float
    high: float
    linear: float = 0.33
    cubic: float = 0.335

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        if self.p == 0:
            return clips
        n, n_frames = clips.mask.shape
        n_new = max(n_frames, math.ceil(n_frames * self.high))
        chosen, length = draw.chance(self.p, n), clips.length
        factor, u = draw.uniform(n, low=self.low, high=self.high), draw.uniform(n)
        new_length = (factor * length).long().clamp(min=1)
        kind = (u >= self.linear).long() + (u >= self.linear + self.cubic).long()

        new = resampled(clips.xyz, length, new_length, n_new, kind)
        old = F.pad(clips.xyz, (0, 0, 0, 0, 0, n_new - n_frames))
        new_length = torch.where(chosen, new_length, length)
        t = torch.arange(n_new, device=length.device)
        return clips.with_(xyz=where_chosen(chosen, new, old), mask=t < new_length[:, None])


# --- along straight lines ----------------------------------------------------------------------


def on_the_line(
    xyz: Float[Tensor, "B T L 3"], instant: Float[Tensor, "B T2"], length: Int[Tensor, " B"]
) -> Float[Tensor, "B T2 L 3"]:
    """Each clip at fractional instants (in frames), linear between the two frames around each.

    Beyond an end, the line through the last two frames there continues; a clip of one frame stands
    still. The result is NaN where one of the two frames is.
    """
    last = (length - 1)[:, None]
    before = torch.minimum(instant.floor().long().clamp(min=0), (last - 1).clamp(min=0))
    weight = (instant - before)[..., None, None]
    earlier, later = take_frames(xyz, before), take_frames(xyz, torch.minimum(before + 1, last))
    return earlier + weight * (later - earlier)


@dataclass(frozen=True)
class Stretch:
    """Change the speed: n frames become round(k n), evenly spaced from frame d to frame n - 1 + d.

    k is from U(low, high), d from U(-shift, shift) frames. A clip of one frame is left alone. The
    batch is padded to the length that its longest clip could need, unless `p`, the probability per
    clip, is 0. Source: 2nd place's random_interpolate.
    """

    p: float
    low: float
    high: float
    shift: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        if self.p == 0:
            return clips
        n, n_frames = clips.mask.shape
        length = clips.length
        chosen = draw.chance(self.p, n) & (length > 1)
        factor = draw.uniform(n, low=self.low, high=self.high)
        start = draw.uniform(n, 1, low=-self.shift, high=self.shift)
        new_length = (factor * length).round().long().clamp(min=1)
        new_length = torch.where(chosen, new_length, length)

        # A bound that is known without waiting for the device.
        most = max(n_frames, math.ceil(self.high * n_frames))
        t = torch.arange(most, device=length.device)
        step = (length - 1) / (new_length - 1).clamp(min=1)
        new = on_the_line(clips.xyz, start + step[:, None] * t, length)
        old = take_frames(clips.xyz, t.clamp(max=n_frames - 1).expand(n, -1))
        return clips.with_(xyz=where_chosen(chosen, new, old), mask=t < new_length[:, None])
