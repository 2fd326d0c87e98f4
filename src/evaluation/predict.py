"""A model's answers for clips that it was not trained on, and how good they are.

Letters: **N** clips, **K** signs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
    """Run the model in evaluation mode: yields each batch's clip numbers and the answers."""
    was_training = model.training
    model.eval()
    for index in plan(clips.length, BATCH, rng=None):
        on_device = torch.from_numpy(index).to(clips.frames.device)
        batch = clips.gather(on_device, int(clips.length[index].max()))
        features = recipe.features(batch.xyz, batch.mask, recipe.layout)
        with torch.no_grad():  # around the loop it would hold in the caller, too, at every yield
            answers = model(features, batch.mask)
        yield index, answers
    model.train(was_training)


def predict(model: nn.Module, recipe: Recipe, clips: ClipSet) -> Float[np.ndarray, "N K"]:
    """Logits for every clip, float32, in the clips' order."""
    return _in_order([(index, out["logits"]) for index, out in outputs(model, recipe, clips)])


@dataclass(frozen=True)
class Examination:
    """The results of testing a model: accuracy, mean of the recipe's loss, and the answers."""

    accuracy: float
    loss: float
    logits: Float[np.ndarray, "N K"]


def examine(model: nn.Module, recipe: Recipe, clips: ClipSet, progress: float) -> Examination:
    """Test a model on one or more clips, without augmentation or mixing.

    `progress` is the share of the training that is done; the loss may depend on it.
    """
    device = clips.frames.device
    done, correct, loss, pieces = torch.full((), progress, device=device), 0.0, 0.0, []
    for index, out in outputs(model, recipe, clips):
        logits, label = out["logits"], torch.from_numpy(clips.label[index]).to(device)
        target = F.one_hot(label, logits.shape[-1]).float()
        correct += (logits.argmax(-1) == label).sum()
        loss += len(index) * recipe.loss(out, target, done)
        pieces.append((index, logits))
    n = len(clips)
    return Examination(float(correct) / n, float(loss) / n, _in_order(pieces))


def _in_order(pieces: list[tuple[np.ndarray, Tensor]]) -> Float[np.ndarray, "N K"]:
    """The logits of batches, put back into the clips' order."""
    logits = torch.cat([logits for _, logits in pieces]).float().cpu().numpy()
    order = np.concatenate([index for index, _ in pieces])
    logits[order] = logits.copy()
    return logits
