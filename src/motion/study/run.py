"""Run experiments by name: train, evaluate, keep everything in a folder of their own.

A folder holds config.json (rebuilds the network), history.csv, best.pt and metrics.csv.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cattrs
import pandas as pd
import torch
from cattrs.strategies import configure_tagged_union
from jaxtyping import Float
from torch import Tensor

from src.common import checkpoint
from src.common.errors import InputError
from src.common.files import write_atomically, write_json
from src.motion.body.pose_space import MOTION_TRANSFORMER, Scaling
from src.motion.data.corpus import Corpus, MotionData, evaluation_windows, prepare
from src.motion.data.windows import LENGTH, SEED, TARGET, sliding
from src.motion.metrics import FrameErrors, frame_errors
from src.motion.models import networks, pretrained
from src.motion.models.forecaster import Forecaster
from src.motion.study import bars
from src.motion.study.experiments import PUBLISHED, Experiment, Profile, resized
from src.motion.study.studies import STUDIES
from src.motion.training import gan, losses, optimisers
from src.motion.training.loop import Training, train
from src.motion.training.task import forecasts, pose_task

AUTHORS = STUDIES[0].name
RIDGE_STRIDE = 12  # frames between the ridge's training windows, as the corpus' reference

_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
for _union in (  # inner ones first
    losses.Loss,
    optimisers.Optimiser,
    optimisers.Schedule,
    Training | gan.GanTraining,
    networks.Config | gan.Config,
):
    configure_tagged_union(
        _union, _CONVERTER, tag_generator=lambda kind: f"{kind.__module__}.{kind.__qualname__}"
    )


@dataclass(frozen=True)
class Result:
    """What an experiment gave.

    Args:
        experiment: as it was run.
        model: with its best weights.
        data: what it saw.
        history: of its training.
        predicted: (B, 24, 15, 3, 3), forecasts of the test windows, not projected.
        errors: of them.
    """

    experiment: Experiment
    model: Forecaster
    data: MotionData
    history: pd.DataFrame
    predicted: Float[Tensor, "B N 15 3 3"]
    errors: FrameErrors


def choose(names: str) -> list[str]:
    """The experiments asked for.

    Args:
        names: "all", or names with commas between.

    Raises:
        InputError: an unknown name; says which there are.
    """
    if names == "all":
        return list(PUBLISHED)
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in PUBLISHED]
    if unknown or not chosen:
        raise InputError(
            f"no experiment {', '.join(unknown) or 'named'}; there are: {', '.join(PUBLISHED)}"
        )
    return chosen


def run(
    name: str, corpus: Corpus, profile: Profile | None, folder: Path, seed: int, device: str = "cpu"
) -> Result:
    """Train and evaluate one experiment.

    Args:
        name: of `PUBLISHED`.
        corpus: real or synthetic motion.
        profile: sizes and time; None = as published.
        folder: gets a folder of that name.
        seed: of everything random.
        device: where to compute.

    Raises:
        InputError: an unknown name, or a corpus that is too short.
    """
    choose(name)
    experiment = PUBLISHED[name] if profile is None else resized(PUBLISHED[name], profile)
    data = prepare(corpus, experiment.pose_format, experiment.scaling, experiment.mirror, device)
    target = folder / name
    write_json(target / "config.json", _CONVERTER.unstructure(experiment))
    torch.manual_seed(seed)
    model, history = _train(experiment, data, target, seed)
    seeds = data.test[:, :SEED]
    predicted = data.space.decode(forecasts(model, seeds, TARGET))
    errors = frame_errors(predicted, data.test_truth)
    table = errors.table()
    write_atomically(target / "metrics.csv", lambda path: table.to_csv(path))
    return Result(experiment, model, data, history, predicted, errors)


def _train(
    experiment: Experiment, data: MotionData, folder: Path, seed: int
) -> tuple[Forecaster, pd.DataFrame]:
    normaliser, task = data.space.normaliser, pose_task(data)
    match experiment.training:
        case gan.GanTraining() as training:
            pair = gan.Gan(experiment.model, replace(training, seed=seed), normaliser)
            return pair.generator, gan.train_gan(pair, task, folder)
        case Training() as training:
            model = networks.build(experiment.model, normaliser).to(data.test.device)
            return model, train(model, task, replace(training, seed=seed), folder)


def load(folder: Path, corpus: Corpus, device: str = "cpu") -> tuple[Forecaster, MotionData]:
    """An experiment's network from its folder, with the data it saw.

    Raises:
        InputError: the folder holds no finished experiment.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text())
        experiment = _CONVERTER.structure(values, Experiment)
    except Exception as error:  # cattrs raises groups of whatever went wrong in each field
        raise InputError(
            f"{path}: expected an experiment as this version writes it ({error}); run it again"
        ) from error
    data = prepare(corpus, experiment.pose_format, experiment.scaling, experiment.mirror, device)
    model = experiment.model.generator if isinstance(experiment.model, gan.Config) else None
    network = networks.build(model or experiment.model, data.space.normaliser).to(device)
    network.load_state_dict(checkpoint.load(folder / "best.pt", device))
    return network.eval(), data


def authors_outcome(weights: Path, corpus: Corpus, device: str = "cpu") -> FrameErrors | str:
    """Study 01 as the document has it: the authors' own weights, evaluated; or why they are absent.

    Args:
        weights: the .npz that pretrained.py describes.
        corpus: test clips are taken from it, normalisation from its training clips.
        device: where to compute.
    """
    if not pretrained.is_there(weights):
        return f"absent: no file {weights}; the authors' weights are at {pretrained.WHERE}"
    experiment = PUBLISHED[AUTHORS]
    data = prepare(corpus, experiment.pose_format, experiment.scaling, device=device)
    model = networks.build(experiment.model, data.space.normaliser)
    pretrained.load_authors(weights, model)
    made = forecasts(model.to(device), data.test[:, :SEED], TARGET)
    return frame_errors(data.space.decode(made), data.test_truth)


def bar_errors(corpus: Corpus) -> dict[str, FrameErrors]:
    """Zero velocity, constant velocity and ridge regression on the test windows.

    The ridge is fitted on training and validation clips: it has nothing to stop early.
    """
    data = prepare(corpus, MOTION_TRANSFORMER, Scaling(), mirror=False)
    truth = data.test_truth
    raw = [torch.from_numpy(clip.predicted) for clip in corpus.test]
    seeds = evaluation_windows(raw, corpus.cut, "test")[:, :SEED]
    known = [torch.from_numpy(clip.predicted).flatten(2) for clip in (*corpus.train, *corpus.valid)]
    ridge = bars.Ridge.fit(sliding(known, RIDGE_STRIDE, LENGTH), TARGET)
    forecasts_of = {
        "zero velocity": bars.zero_velocity(seeds, TARGET),
        "constant velocity": bars.constant_velocity(seeds.double(), TARGET),
        "ridge": ridge(seeds.flatten(3)).unflatten(-1, (3, 3)),
    }
    return {name: frame_errors(made, truth) for name, made in forecasts_of.items()}
