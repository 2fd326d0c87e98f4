"""Adversarial weight perturbation: Wu et al., arXiv 2004.05884, as the 1st place uses it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def perturbed(models: Iterable[nn.Module], delta: float) -> Iterator[None]:
    """Move every weight tensor that has a gradient by delta g / ||g||, and back at the end.

    A weight whose gradient is not finite stays where it is: fp16 overflows now and then while it
    looks for its scale, and a NaN would never leave the batch norms.
    """
    moved = [p for model in models for p in model.parameters() if p.grad is not None]
    with torch.no_grad():
        norms = torch._foreach_norm([p.grad for p in moved])
        tiny = torch.finfo(torch.float32).tiny  # a gradient of 0 moves nothing, without NaN
        steps = [
            (p.grad * (delta / norm.clamp(min=tiny))).nan_to_num(nan=0.0)
            for p, norm in zip(moved, norms, strict=True)
        ]
        before = [p.clone() for p in moved]
        torch._foreach_add_(moved, steps)
    yield
    with torch.no_grad():
        torch._foreach_copy_(moved, before)
