"""Mixup: which clips are mixed, in which shares, and how their targets and features are mixed.

Letters: **B** batch, **T** frames, **L** points, **C** coordinates, **K** signs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from src.transforms.pipeline import Draw, within


@dataclass(frozen=True)
class Pairs:
    """Which clip each clip is mixed with, and in which share.

    Iterating gives these pairs, then those of `then`, and so on.

    Args:
        partner: (B,) the clip that each clip is mixed with.
        share: (B,) how much of itself a clip keeps.
        then: pairs whose partners are mixed into the result afterwards; None = no more pairs.
    """

    partner: Int[Tensor, " B"]
    share: Float[Tensor, " B"]
    then: Pairs | None = None

    def __iter__(self) -> Iterator[Pairs]:
        yield self
        if self.then is not None:
            yield from self.then

    def target(self, target: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Mix the targets as the clips are mixed."""
        mixed = target
        for pairs in self:
            share = pairs.share[:, None]
            mixed = share * mixed + (1 - share) * target[pairs.partner]
        return mixed


@dataclass(frozen=True)
class ManifoldMixup:
    """Mix the features before one of the network's layers, more often as the training goes on.

    A batch is mixed with probability p * progress / span, as in the document.

    Args:
        p: the probability at `span`; with `falling`, at the start.
        alpha: shares are from Beta(alpha, alpha).
        span: a share of the training, see `p`.
        falling: mix with probability p * (1 - progress / span), and never after `span`, as the
            authors' code does.
    """

    p: float
    alpha: float
    span: float
    falling: bool = False

    def probability(self, progress: float) -> float:
        """The probability of mixing a batch at this share of the training."""
        risen = progress / self.span
        return self.p * max(0.0, 1 - risen if self.falling else risen)

    def pairs(self, n: int, draw: Draw) -> Pairs | None:
        """Draw the pairs of one batch of n clips; None if this batch is not mixed."""
        if not draw.coin(self.probability(draw.progress)):
            return None
        return Pairs(draw.permutation(n), draw.beta(self.alpha, n))


@dataclass(frozen=True)
class PointMixup:
    """Mix clips frame by frame and point by point, with one share for the whole batch.

    A point that only one of the two clips has is taken unchanged from that clip. A frame is real if
    it is real in either clip. Source: Slovo, recognition.md 4.4.

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
        """Mix the points (0 = missing); return them and the mask of real frames."""
        own = torch.where(mask[..., None, None], features, 0.0)
        partner = own[pairs.partner]
        has_own, has_partner = ((x != 0).any(-1, keepdim=True) for x in (own, partner))
        share = pairs.share.to(own.dtype)[:, None, None, None]
        mixed = torch.where(has_own & has_partner, torch.lerp(partner, own, share), own + partner)
        return mixed, mask | mask[pairs.partner]


@dataclass(frozen=True)
class WindowMixup:
    """Mix clips of different lengths: the shorter clip with a random window of the longer.

    In a mixed clip only that window stays real, and it keeps its place in time. A clip's own share
    is always the largest, and no clip is mixed with itself. Source: 26th place, recognition.md 2.3.

    Args:
        alpha: shares are from Beta(alpha, alpha), or a Dirichlet distribution if `clips` > 2.
        clips: how many clips are mixed into one. The authors found no benefit in three or more.
        align: first map the partner's (x, y) onto the clip's by least squares, so only poses are
            mixed: "similarity" turns and scales the partner about the head (the origin), "linear"
            allows any linear map, as in the authors' code. The authors rejected it.
        whole: a clip whose own share is larger than this stays as it is.
    """

    alpha: float
    clips: int = 2
    align: Literal["no", "similarity", "linear"] = "no"
    whole: float = 0.999

    def pairs(self, n: int, draw: Draw) -> Pairs:
        """Draw the pairs of one batch of n clips; every batch is mixed."""
        shares = draw.dirichlet(self.alpha, n, self.clips).sort(1, descending=True).values
        total, circle, pairs = shares.cumsum(1), draw.permutation(n), None
        for k in reversed(range(1, self.clips)):  # backwards: each refers to the next
            # The mixture of the first k clips keeps their part of the first k + 1 shares.
            share = total[:, k - 1] / total[:, k]
            share = torch.where(share > self.whole, 1.0, share)
            # All clips stand in a circle, and a clip's partner is the k-th before it: every k gives
            # another. In a small batch this can be the clip itself, which then stays as it is.
            share = share if k % n else torch.ones_like(share)
            partner = torch.empty_like(circle)
            partner[circle] = circle.roll(k)
            pairs = Pairs(partner, share, pairs)
        return pairs

    def inputs(
        self,
        features: Float[Tensor, "B T *rest"],
        mask: Bool[Tensor, "B T"],
        pairs: Pairs,
        draw: Draw,
    ) -> tuple[Float[Tensor, "B T *rest"], Bool[Tensor, "B T"]]:
        """Mix the features (0 = missing); return them and the mask of real frames.

        In `mask` each clip's real frames come first. For `align` the last two dimensions of the
        features are L and C, x and y first. `draw` chooses the windows.
        """
        length, n_frames = mask.sum(1), mask.shape[1]
        by_clip = (-1, *[1] * (features.dim() - 1))
        # In each mixed clip, the `kept` frames from `first` on are real.
        mixed, first, kept = features, torch.zeros_like(length), length
        for each in pairs:
            # All of the shorter clip is mixed, at a random place in the longer one.
            partner_length = length[each.partner]
            common = torch.minimum(kept, partner_length)
            start = first + draw.integers(kept - common + 1)
            partner_start = draw.integers(partner_length - common + 1)

            # The partner's frames, moved to the times of the clip's window.
            frame = torch.arange(n_frames, device=length.device) + (partner_start - start)[:, None]
            partner = features[each.partner[:, None], frame.clamp(0, n_frames - 1)]
            inside = within(start, common, n_frames)
            if self.align != "no":
                partner = _aligned(partner, mixed, inside, self.align == "similarity")

            # Clips with a share of 1 keep all their frames, other clips only those of the window.
            whole = each.share >= 1
            both = torch.lerp(partner, mixed, each.share.to(mixed.dtype).view(by_clip))
            taken = (inside & ~whole[:, None]).view(*inside.shape, *by_clip[2:])
            mixed = torch.where(taken, both, mixed)
            first, kept = torch.where(whole, first, start), torch.where(whole, kept, common)
        return mixed, within(first, kept, n_frames)


def _aligned(
    partner: Float[Tensor, "B T L C"],
    own: Float[Tensor, "B T L C"],
    inside: Bool[Tensor, "B T"],
    similarity: bool,
) -> Float[Tensor, "B T L C"]:
    """Map each partner's (x, y) onto its clip's by least squares over the points that both have.

    If the two share no points, or only points on one line, the partner stays as it is.
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
