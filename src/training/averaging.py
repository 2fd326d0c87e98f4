"""Averages of weights: the teacher that follows its student, and the soup of the last epochs."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float, buffers: bool) -> None:
    """Move an average towards the model, in place: a = decay a + (1 - decay) m.

    `buffers` moves batch-norm statistics, too; a mean teacher, in training mode, keeps its own.
    """
    pairs = [list(average.parameters()), list(model.parameters())]
    if buffers:
        for own, other in zip(average.buffers(), model.buffers(), strict=True):
            if own.is_floating_point():
                pairs[0].append(own)
                pairs[1].append(other)
            else:
                own.copy_(other)
    torch._foreach_lerp_(*pairs, 1 - decay)


def young_decay(decay: float, step: int) -> float:
    """The decay after `step` updates: at first that of a plain mean, later `decay`.

    Source: Tarvainen & Valpola, arXiv 1703.01780, min(1 - 1 / (step + 1), decay).
    """
    return min(1 - 1 / (step + 1), decay)


def warm_decay(decay: float, updates: int) -> float:
    """min((1 + n) / (10 + n), decay), so the 26th place's average forgets its start."""
    return min((1 + updates) / (10 + updates), decay)


def soup(model: nn.Module) -> AveragedModel:
    """The mean of a model's tensors, buffers too, over the epochs that it is updated with.

    Source: Wortsman et al., Model soups, arXiv 2203.05482.
    """

    def mean(average: Tensor, new: Tensor, count: Tensor) -> Tensor:
        # Batch norm's count of batches has no mean, so the newest count is taken.
        return average.lerp(new, 1 / (int(count) + 1)) if average.is_floating_point() else new

    return AveragedModel(model, avg_fn=mean, use_buffers=True).requires_grad_(False)
