"""Losses: functions of a network's outputs and targets.

A target is a distribution over the signs, because mixup makes it one. Letters: **B** batch,
**K** signs.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Among = Literal["others", "all"]


def smoothed(target: Float[Tensor, "B K"], eps: float, among: Among) -> Float[Tensor, "B K"]:
    """Smooth the targets: move a share `eps` of each to other signs.

    "others" spreads it over the other K - 1 signs (6th place), "all" over all K, as torch's
    label_smoothing does.
    """
    classes = target.shape[-1]
    if among == "others":
        return target * (1 - eps) + (1 - target) * eps / (classes - 1)
    return target * (1 - eps) + eps / classes


def cross_entropy(
    logits: Float[Tensor, "B K"], target: Float[Tensor, "B K"]
) -> Float[Tensor, " B"]:
    """Cross entropy of each clip, in nats."""
    return -(target * F.log_softmax(logits.float(), -1)).sum(-1)


def without_largest(losses: Float[Tensor, " B"], drop: int, per: int) -> Float[Tensor, ""]:
    """OUSM: the mean over the batch without the `drop` largest losses of every `per` clips.

    A batch is sorted by length, so clips are dealt in rotation into as few groups of up to `per`
    clips as possible. Each group drops the same share, rounded down. The authors had 32 per device.
    Source: Yoo et al., arXiv 1901.07759.
    """
    kept, n_groups = [], -(-len(losses) // per)
    for group in (losses[first::n_groups] for first in range(n_groups)):
        n_kept = len(group) - drop * len(group) // per
        kept.append(group.topk(n_kept, largest=False, sorted=False).values)
    return torch.cat(kept).mean()


def consistency(logits: Float[Tensor, "B K"], teacher: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """Squared distance between two predicted distributions, summed over signs, mean over clips.

    The teacher gets no gradient. Source: Tarvainen & Valpola, Mean Teacher, arXiv 1703.01780.
    """
    difference = logits.float().softmax(-1) - teacher.detach().float().softmax(-1)
    return difference.square().sum(-1).mean()


def distillation(
    logits: Float[Tensor, "B K"], teacher: Float[Tensor, "B K"], temperature: float
) -> Float[Tensor, ""]:
    """T^2 KL(teacher || student) at a temperature T, mean over clips.

    `teacher` holds the teacher's probabilities at that temperature, mixed if the clips are mixed.
    Source: Hinton et al., arXiv 1503.02531.
    """
    student = F.log_softmax(logits.float() / temperature, -1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean")


@dataclass(frozen=True)
class CrossEntropy:
    """Smoothed cross entropy, with or without OUSM."""

    smoothing: float = 0.0  # share of the target that moves to other signs
    among: Among = "all"  # see `smoothed`
    drop: int = 0  # clips left out of every `drop_per`, see `without_largest`
    drop_per: int = 32

    def __call__(
        self, out: dict[str, Tensor], target: Float[Tensor, "B K"], progress: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """The loss of a batch; `progress`, the share of the training that is done, is not used."""
        losses = cross_entropy(out["logits"], smoothed(target, self.smoothing, self.among))
        return without_largest(losses, self.drop, self.drop_per) if self.drop else losses.mean()


@dataclass(frozen=True)
class WithNextFrame(CrossEntropy):
    """Cross entropy, plus the smooth L1 distance of predicted frames to the true ones."""

    # Weight of the mean distance over all known coordinates. It is large because the distance is
    # small: below 1 image unit it is squared, and landmarks move some hundredths per frame.
    next_frame: float = 100.0

    def __call__(
        self, out: dict[str, Tensor], target: Float[Tensor, "B K"], progress: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """The loss of a batch; without predicted frames in `out` it is the cross entropy."""
        loss = super().__call__(out, target, progress)
        if "next_frame" not in out:
            return loss
        predicted, true, known = (out[f"next_frame{part}"] for part in ("", "_true", "_mask"))
        distance = F.smooth_l1_loss(predicted.float(), true, reduction="none").mean(-1)
        mean = torch.where(known, distance, 0.0).sum() / known.sum().clamp(min=1)
        return loss + self.next_frame * mean


# --- focal loss and what goes with it -----------------------------------------------------------


def focal(
    logits: Float[Tensor, "B K"], target: Float[Tensor, "B K"], gamma: float | Float[Tensor, ""]
) -> Float[Tensor, " B"]:
    """Cross entropy of each clip, with weight (1 - p)^gamma for a sign predicted with p.

    Source: Lin et al., Focal loss, arXiv 1708.02002, here for soft targets.
    """
    log_p = F.log_softmax(logits.float(), -1)
    unsure = (-torch.expm1(log_p)).clamp(min=1e-7)  # 0 ** gamma has no finite gradient if gamma < 1
    return -(unsure**gamma * target * log_p).sum(-1)


def pairwise_margin(
    logits: Float[Tensor, "B K"], target: Float[Tensor, "B K"], margin: float, rivals: int
) -> Float[Tensor, ""]:
    """How far the logit of each clip's sign is from being `margin` above its rivals' logits.

    Mean over rivals and clips of max(0, margin - (logit of the sign - logit of the rival)). The
    rivals are the other signs with the largest logits; a mixed clip's signs count by their shares.
    """
    logits = logits.float()
    others = logits.masked_fill(target > 0, -torch.inf)
    nearest = others.topk(min(rivals, logits.shape[-1] - 1)).values  # (B, rivals)
    gap = F.relu(margin - (logits[..., None] - nearest[:, None]))  # (B, K, rivals)
    # If fewer signs than rivals are left, the last rivals are -inf and do not count.
    gap = torch.where(nearest[:, None].isfinite(), gap, 0.0).mean(-1)
    return (target * gap).sum(-1).mean()


def contrast(one: Float[Tensor, "B D"], other: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Contrastive loss of two views of the same clips, in nats.

    For each clip, the cross entropy of telling its other view from those of the rest of the batch
    by cosine / 0.1; mean over clips and both directions, 0 for a batch of one clip. Source: Radford
    et al., CLIP, arXiv 2103.00020, figure 3.
    """
    one, other = (F.normalize(x.float(), dim=-1) for x in (one, other))
    alike = one @ other.T / 0.1
    clip = torch.arange(len(one), device=one.device)
    return (F.cross_entropy(alike, clip) + F.cross_entropy(alike.T, clip)) / 2


@dataclass(frozen=True)
class FocalWithAuxiliary:
    """Smoothed focal loss of a network and of its auxiliary classifiers."""

    smoothing: float = 0.1  # share of the target that is spread over all signs
    gamma: float = 2.0  # exponent
    # The exponent at the start, from which it rises linearly to `gamma` at the end, so hard clips
    # matter more and more; None = `gamma` throughout.
    gamma_at_start: float | None = None
    auxiliary: float = 0.2  # weight of the deepest auxiliary classifier
    auxiliary_decay: float = 0.5  # each weighs this times the next deeper one
    margin_weight: float = 0.0  # weight of `pairwise_margin`; 0 = not used
    margin: float = 1.0  # in logits
    rivals: int = 3
    cross_modal: float = 0.0  # weight of `contrast` of hands with lips and pose; 0 = not used

    def __call__(
        self, out: dict[str, Tensor], target: Float[Tensor, "B K"], progress: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """The loss of a batch; `progress` is the share of the training that is done.

        `out` has logits (B, K); auxiliary (n, B, K), the shallowest first; and for `cross_modal`
        parts (B, 4, D): lips, left hand, right hand, pose.
        """
        gamma, soft = self.gamma, smoothed(target, self.smoothing, "all")
        if self.gamma_at_start is not None:
            gamma = self.gamma_at_start + (gamma - self.gamma_at_start) * progress
        loss = focal(out["logits"], soft, gamma).mean()
        for above, logits in enumerate(out["auxiliary"].flip(0)):
            weight = self.auxiliary * self.auxiliary_decay**above
            loss = loss + weight * focal(logits, soft, gamma).mean()
        if self.margin_weight:
            apart = pairwise_margin(out["logits"], target, self.margin, self.rivals)
            loss = loss + self.margin_weight * apart
        if self.cross_modal:
            lips, left, right, pose = out["parts"].unbind(1)
            loss = loss + self.cross_modal * contrast(left + right, lips + pose)
        return loss
