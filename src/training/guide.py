"""Guides: the answers of a finished, frozen training to the clips that another one learns from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from src.training.roles import View
from src.transforms.mix import Pairs


@runtime_checkable
class Guide(Protocol):
    """The teacher's probabilities, at the recipe's temperature, for the clips of a batch."""

    def __call__(
        self, view: View, pairs: Pairs | None, index: Int[Tensor, " B"]
    ) -> Float[Tensor, "B K"]: ...


class LiveTeacher:
    """A teacher of the same inputs as the student: it answers to the student's augmented batch.

    Args:
        model: is set to evaluation mode.
        temperature: of the probabilities.
    """

    def __init__(self, model: nn.Module, temperature: float):
        self.model, self.temperature = model.eval().requires_grad_(False), temperature

    @torch.no_grad()
    def __call__(
        self, view: View, pairs: Pairs | None, index: Int[Tensor, " B"]
    ) -> Float[Tensor, "B K"]:
        """Answer to what the student sees."""
        logits = self.model(view.features, view.mask)["logits"].float()
        return (logits / self.temperature).softmax(-1)


class CachedTeacher:
    """A teacher of other inputs: its answers to the clips without augmentation, computed once.

    Args:
        logits: (clips, K) of the training clips, on the device.
        temperature: of the probabilities.
    """

    def __init__(self, logits: Float[Tensor, "clips K"], temperature: float):
        self.probabilities = (logits / temperature).softmax(-1)

    def __call__(
        self, view: View, pairs: Pairs | None, index: Int[Tensor, " B"]
    ) -> Float[Tensor, "B K"]:
        """Look the answers up; mixed clips get mixed answers."""
        probabilities = self.probabilities[index]
        return probabilities if pairs is None else pairs.target(probabilities)
