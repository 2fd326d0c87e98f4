"""How gradients are distributed over a network's layers (the document's Fig. 7 and 11)."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from src.motion.data.corpus import Corpus
from src.motion.data.sampling import WindowSampler
from src.motion.models.forecaster import Forecaster
from src.motion.models.st_conv import StConv
from src.motion.models.st_transformer import StTransformer
from src.motion.models.thinned import whole
from src.motion.study.experiments import Profile, Variation
from src.motion.study.run import AS_IT_IS, Result, run_many
from src.motion.training.losses import Loss, forecast_loss
from src.motion.training.task import Task, pose_task

# The studies that the document discusses with Fig. 7 and 11.
DEEP = ("02-original", "10-no-time", "11-no-space", "12-no-positions", "13-seven-layers")


def deep_results(
    results: Mapping[str, Result],
    corpus: Corpus,
    profile: Profile | None,
    folder: Path,
    seed: int,
    device: str = "cpu",
    variation: Variation = AS_IT_IS,
) -> Mapping[str, Result]:
    """Results at the published depth, which alone can say something about depth.

    Those studies of `DEEP` that have results are trained once more at that depth, in folders of
    their names. Without a profile the given results have it already, and are returned as they are.
    """
    if profile is None:
        return results
    chosen = [name for name in DEEP if name in results]
    if not chosen:
        return {}
    return run_many(chosen, corpus, profile.deep, folder, seed, device, variation)


def layer_gradients(
    model: Forecaster, task: Task, loss: Loss, batch: tuple[Tensor, Tensor]
) -> pd.DataFrame:
    """Mean and standard deviation of dLoss/dW over all weights of each attention layer.

    The model is spatio-temporal, or a `Thinned` with such a model inside; its gradients are
    overwritten. The batch holds frames and truth, (B, span, J, M).

    Returns:
        A row per layer: layer (1 = the first), mean, std.
    """
    model.train()
    model.zero_grad(set_to_none=True)
    predicted, truth = model.teach(*batch, progress=1.0)
    forecast_loss(loss, predicted, truth, task.space).backward()
    rows = []
    for number, layer in enumerate(whole(model).layers, 1):
        all_weights = torch.cat([p.grad.flatten() for p in layer.parameters()])
        rows.append((number, all_weights.mean().item(), all_weights.std().item()))
    model.zero_grad(set_to_none=True)
    return pd.DataFrame(rows, columns=["layer", "mean", "std"])


def study_gradients(results: Mapping[str, Result], seed: int) -> dict[str, pd.DataFrame]:
    """`layer_gradients` of every spatio-temporal study, with its best weights, on one batch."""
    tables = {}
    for name, result in results.items():
        if isinstance(whole(result.model), StTransformer | StConv):
            task, training = pose_task(result.data), result.experiment.training
            sampler = WindowSampler(
                task.train, None, result.model.span, training.batch, training.sampling, seed
            )
            tables[name] = layer_gradients(result.model, task, training.loss, sampler(0))
    return tables
