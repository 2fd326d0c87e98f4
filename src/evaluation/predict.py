"""What a model says about clips it was not trained on, and how good that is.

Letters: **N** clips, **K** signs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.dataset.batches import ClipSet, plan
from src.recipes.base import Recipe

BATCH = 64  # clips; without gradients memory is no concern


def outputs(
    model: nn.Module, recipe: Recipe, clips: ClipSet
) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
    """What the model returns for every clip, a batch at a time, in evaluation mode.

    The model's mode is left as it was.

    Yields:
        Which clips, and the model's answers to them.
    """
    was_training = model.training
    model.eval()
    for index in plan(clips.length, BATCH, rng=None):
        on_device = torch.from_numpy(index).to(clips.frames.device)
        batch = clips.gather(on_device, int(clips.length[index].max()))
        features = recipe.features(batch.xyz, batch.mask, recipe.layout)
        with torch.no_grad():  # and not around the loop: a generator would hand it to its caller
            answers = model(features, batch.mask)
        yield index, answers
    model.train(was_training)


def predict(model: nn.Module, recipe: Recipe, clips: ClipSet) -> Float[np.ndarray, "N K"]:
    """Logits for every clip, float32, in the clips' order."""
    pieces, order = [], []
    for index, out in outputs(model, recipe, clips):
        pieces.append(out["logits"].float().cpu().numpy())
        order.append(index)
    logits = np.concatenate(pieces)
    logits[np.concatenate(order)] = logits.copy()
    return logits


def examine(
    model: nn.Module, recipe: Recipe, clips: ClipSet, progress: float
) -> tuple[float, float]:
    """Accuracy, and the recipe's loss, on clips as they are: not augmented, not mixed.

    Args:
        model: what is tested.
        recipe: its recipe.
        clips: at least one.
        progress: share of the training that is done; the loss may depend on it.
    """
    device = clips.frames.device
    done, correct, loss = torch.full((), progress, device=device), 0.0, 0.0
    for index, out in outputs(model, recipe, clips):
        logits, label = out["logits"], torch.from_numpy(clips.label[index]).to(device)
        target = F.one_hot(label, logits.shape[-1]).float()
        correct += (logits.argmax(-1) == label).sum()
        loss += len(index) * recipe.loss(out, target, done)
    return float(correct) / len(clips), float(loss) / len(clips)
