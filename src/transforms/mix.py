"""Mixup: pairs of clips, and what becomes of their targets.

Letters: **B** batch, **T** frames, **L** points, **C** coordinates, **K** signs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from src.transforms.pipeline import Draw


@dataclass(frozen=True)
class Pairs:
    """Who is mixed with whom.

    Args:
        partner: (B,) the clip that each clip is mixed with.
        share: (B,) how much of itself a clip keeps.
        then: further pairs, whose partners are mixed into what these make; None = no more.
    """

    partner: Int[Tensor, " B"]
    share: Float[Tensor, " B"]
    then: Pairs | None = None

    def __iter__(self) -> Iterator[Pairs]:
        yield self
        if self.then is not None:
            yield from self.then

    def target(self, target: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """The mixed targets."""
        mixed = target
        for pairs in self:
            share = pairs.share[:, None]
            mixed = share * mixed + (1 - share) * target[pairs.partner]
        return mixed


@dataclass(frozen=True)
class ManifoldMixup:
    """Mix the features before one of the transformer layers; how often depends on the epoch.

    Args:
        p: the scale of the schedule.
        alpha: shares are from Beta(alpha, alpha).
        span: share of the training over which the schedule runs.
        falling: the document's schedule rises, p * progress / span; the authors' code has
            p * (1 - progress / span), and mixes no more after `span`.
    """

    p: float
    alpha: float
    span: float
    falling: bool = False

    def probability(self, progress: float) -> float:
        """How likely a batch is mixed, at this share of the training."""
        risen = progress / self.span
        return self.p * max(0.0, 1 - risen if self.falling else risen)

    def pairs(self, n: int, draw: Draw) -> Pairs | None:
        """Draw the pairs of one batch of n clips; None if this batch is not mixed."""
        if not draw.coin(self.probability(draw.progress)):
            return None
        return Pairs(draw.permutation(n), draw.beta(self.alpha, n))


@runtime_checkable
class InputMixup(Protocol):
    """Mixup of what the network reads."""

    def pairs(self, n: int, draw: Draw) -> Pairs | None:
        """Draw the pairs of one batch of n clips; None if this batch is not mixed."""

    def inputs(
        self,
        features: Float[Tensor, "B T *rest"],
        mask: Bool[Tensor, "B T"],
        pairs: Pairs,
        draw: Draw,
    ) -> tuple[Float[Tensor, "B T *rest"], Bool[Tensor, "B T"]]:
        """The mixed features and their real frames."""


@dataclass(frozen=True)
class PointMixup:
    """Mix clips point by point, frame by frame, all by the same share.

    Where only one of the two clips has a point, the point is that clip's: a missing point is no
    place between. A frame is real where either clip's is.
    Source: Slovo, recognition.md 4.4.

    Args:
        p: probability of mixing a batch.
        alpha: a batch's share is from Beta(alpha, alpha).
    """

    p: float
    alpha: float

    def pairs(self, n: int, draw: Draw) -> Pairs | None:
        """Draw the pairs of one batch of n clips; None if this batch is not mixed."""
        if not draw.coin(self.p):
            return None
        return Pairs(draw.permutation(n), draw.beta(self.alpha, 1).expand(n))

    def inputs(
        self,
        features: Float[Tensor, "B T L C"],
        mask: Bool[Tensor, "B T"],
        pairs: Pairs,
        draw: Draw,
    ) -> tuple[Float[Tensor, "B T L C"], Bool[Tensor, "B T"]]:
        """The mixed points and their real frames; 0 = missing."""
        own = torch.where(mask[..., None, None], features, 0.0)
        partner = own[pairs.partner]
        has_own, has_partner = ((x != 0).any(-1, keepdim=True) for x in (own, partner))
        share = pairs.share.to(own.dtype)[:, None, None, None]
        mixed = torch.where(has_own & has_partner, torch.lerp(partner, own, share), own + partner)
        return mixed, mask | mask[pairs.partner]


@dataclass(frozen=True)
class WindowMixup:
    """Mix clips of different lengths: the shorter one meets a random window of the longer one.

    A mixed clip is real only in the window that both have, and stays where it was in time. The
    larger share is always the clip's own. No clip is mixed with itself.
    Source: 26th place, recognition.md 2.3.

    Args:
        alpha: shares are from Beta(alpha, alpha), or the Dirichlet distribution of more clips.
        clips: in a mixture. The authors tried three and more: no benefit.
        align: turn and scale the partner about the head (the origin) onto the clip first, so that
            only poses are mixed; "linear" is the authors' code, any linear map of (x, y). They
            rejected it.
        whole: a clip with a larger share than this stays as it is.
    """

    alpha: float
    clips: int = 2
    align: Literal["no", "similarity", "linear"] = "no"
    whole: float = 0.999

    def pairs(self, n: int, draw: Draw) -> Pairs:
        """Draw the pairs of one batch of n clips; every batch is mixed."""
        shares = draw.dirichlet(self.alpha, n, self.clips).sort(1, descending=True).values
        total, circle, pairs = shares.cumsum(1), draw.permutation(n), None
        for k in reversed(range(1, self.clips)):  # the last link first
            share = total[:, k - 1] / total[:, k]
            share = torch.where(share > self.whole, 1.0, share)
            partner = torch.empty_like(circle)
            partner[circle] = circle.roll(k)  # the k-th before it: never itself, never one twice
            pairs = Pairs(partner, share, pairs)
        return pairs

    def inputs(
        self,
        features: Float[Tensor, "B T *rest"],
        mask: Bool[Tensor, "B T"],
        pairs: Pairs,
        draw: Draw,
    ) -> tuple[Float[Tensor, "B T *rest"], Bool[Tensor, "B T"]]:
        """The mixed features and their real frames.

        Args:
            features: 0 = missing; for `align` the last two dimensions are L and C, x and y first.
            mask: the real frames come first.
            pairs: of `pairs`.
            draw: chooses the windows.
        """
        length = mask.sum(1)
        mixed, window = features, (torch.zeros_like(length), length)
        for link in pairs:
            mixed, window = self._mixed(mixed, window, features, length, link, draw)
        return mixed, _inside(*window, mask.shape[1])

    def _mixed(
        self,
        own: Tensor,
        window: tuple[Tensor, Tensor],
        features: Tensor,
        length: Tensor,
        pairs: Pairs,
        draw: Draw,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Mix each clip, real in its window (start, length), with one partner."""
        (start, own_length), partner_length = window, length[pairs.partner]
        common = torch.minimum(own_length, partner_length)
        start = start + draw.integers(own_length - common + 1)
        partner_start = draw.integers(partner_length - common + 1)

        n_frames = features.shape[1]
        frame = torch.arange(n_frames, device=length.device) + (partner_start - start)[:, None]
        partner = features[pairs.partner[:, None], frame.clamp(0, n_frames - 1)]
        inside = _inside(start, common, n_frames)
        if self.align != "no":
            partner = _aligned(partner, own, inside, self.align == "similarity")

        whole = pairs.share >= 1
        by_clip = (-1, *[1] * (features.dim() - 1))
        mixed = torch.lerp(partner, own, pairs.share.to(own.dtype).view(by_clip))
        taken = (inside & ~whole[:, None]).view(*inside.shape, *by_clip[2:])
        kept_window = torch.where(whole, window[0], start), torch.where(whole, own_length, common)
        return torch.where(taken, mixed, own), kept_window


def _inside(
    start: Int[Tensor, " B"], length: Int[Tensor, " B"], n_frames: int
) -> Bool[Tensor, "B T"]:
    t = torch.arange(n_frames, device=start.device)
    return (t >= start[:, None]) & (t < (start + length)[:, None])


def _aligned(
    partner: Float[Tensor, "B T L C"],
    own: Float[Tensor, "B T L C"],
    inside: Bool[Tensor, "B T"],
    similarity: bool,
) -> Float[Tensor, "B T L C"]:
    """The partner's (x, y) under the least-squares map onto the clip's, of points that both have.

    A clip and partner without a point in common, or all on one line, keep their places.
    """
    both = (partner[..., :2] != 0).any(-1) & (own[..., :2] != 0).any(-1) & inside[..., None]
    x, y = (torch.where(both[..., None], p[..., :2], 0.0).flatten(1, 2) for p in (partner, own))
    xx, xy = x.transpose(1, 2) @ x, x.transpose(1, 2) @ y  # (B, 2, 2)
    if similarity:  # W = a + b i as a matrix; minimises sum |x W - y|^2 among these
        a, b = xy[:, 0, 0] + xy[:, 1, 1], xy[:, 0, 1] - xy[:, 1, 0]
        size = xx[:, 0, 0] + xx[:, 1, 1]
        of_partner = torch.stack([a, b, -b, a], -1).view(-1, 2, 2)
        solvable = size > 0
        weights = of_partner / torch.where(solvable, size, 1.0)[:, None, None]
    else:
        solvable = torch.linalg.det(xx) > 1e-6 * xx.diagonal(dim1=1, dim2=2).prod(1)
        identity = torch.eye(2, device=xx.device)
        weights = torch.linalg.solve(torch.where(solvable[:, None, None], xx, identity), xy)
    moved = torch.einsum("btlc,bcd->btld", partner[..., :2], weights)
    moved = torch.where(solvable[:, None, None, None], moved, partner[..., :2])
    return torch.cat([moved, partner[..., 2:]], -1)
