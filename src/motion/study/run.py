"""Run experiments by name: train, evaluate, and save everything in a folder of their own.

- A folder holds config.json (rebuilds the network), history.csv, best.pt, metrics.csv, and
  trained.json, the mark of a finished training.
- A finished experiment is not trained again unless its values or clips have changed; then the
  changes are printed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from joblib import Parallel, cpu_count, delayed, parallel_config
from torch import Tensor
from tqdm.auto import tqdm

from src.common import checkpoint
from src.common.errors import InputError
from src.common.files import write_atomically, write_json
from src.common.marks import Mark, changes
from src.common.paths import anchored
from src.motion import models
from src.motion.data.corpus import Corpus, MotionData, evaluation_windows, prepare
from src.motion.data.windows import LENGTH, SEED, TARGET, sliding
from src.motion.metrics import FrameErrors, frame_errors
from src.motion.models import pretrained
from src.motion.models.forecaster import Forecaster
from src.motion.models.thinned import Thinned
from src.motion.study import bars, saved
from src.motion.study.experiments import PUBLISHED, Experiment, Profile, Variation, resized
from src.motion.study.studies import STUDIES
from src.motion.training import gan
from src.motion.training.loop import Loop, Training
from src.motion.training.task import forecasts, pose_task
from src.training.resume import DELETE

AUTHORS = STUDIES[0].name
AS_IT_IS = Variation()
RIDGE_STRIDE = 12  # frames between the ridge's training windows, as in the corpus' reference
TRAINED = "trained.json"
# Raise it when the same values give other files; finished trainings are then made again. Since 2 a
# GAN's weights are chosen among those of steps with a critic, and histories have single losses.
FORM = 2


@dataclass(frozen=True)
class Result:
    experiment: Experiment  # as it was run
    model: Forecaster  # with its best weights
    data: MotionData  # the data that the model saw
    history: pd.DataFrame  # of its training
    predicted: Float[Tensor, "B N 15 3 3"]  # forecasts of the test windows, not projected
    errors: FrameErrors  # of these forecasts


def choose(names: str) -> list[str]:
    """The names of the experiments to run, from "all" or from names separated by commas.

    Study 01 is not among them: it is the authors' own weights, which are evaluated and not trained
    (see `authors_outcome`); trained here, it would be study 02 under another name.

    Raises:
        InputError: an unknown name, or none at all.
    """
    known = [name for name in PUBLISHED if name != AUTHORS]
    if names == "all":
        return known
    given = (name.strip() for name in names.split(","))
    chosen = [name for name in dict.fromkeys(given) if name]  # each once: it has one folder
    if AUTHORS in chosen:
        raise InputError(
            f"STUDIES: {AUTHORS} is the authors' own weights, which are not trained; give their "
            "file as AUTHORS_WEIGHTS, or choose 02-original"
        )
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise InputError(
            f"STUDIES: expected all, or some of {', '.join(known)}; found "
            f"{', '.join(unknown) or 'none'}"
        )
    return chosen


def run(
    name: str,
    corpus: Corpus,
    profile: Profile | None,
    folder: Path,
    seed: int,
    device: str = "cpu",
    variation: Variation = AS_IT_IS,
) -> Result:
    """Train and evaluate one experiment of `PUBLISHED`, in a folder of its name.

    Without a profile the experiment's sizes and training are as published.

    Raises:
        InputError: no training clip is long enough, or the folder holds a stopped training with
            other values.
    """
    experiment = PUBLISHED[name] if profile is None else resized(PUBLISHED[name], profile)
    experiment = variation.of(experiment)
    data = _prepared(experiment, corpus, device)
    model, history = _trained(experiment, data, folder / name, seed)
    predicted = data.space.decode(forecasts(model, data.test[:, :SEED], TARGET))
    errors = frame_errors(predicted, data.test_truth)
    write_atomically(folder / name / "metrics.csv", errors.table().to_csv)
    return Result(experiment, model, data, history, predicted, errors)


def run_many(
    names: Sequence[str],
    corpus: Corpus,
    profile: Profile | None,
    folder: Path,
    seed: int,
    device: str = "cpu",
    variation: Variation = AS_IT_IS,
) -> dict[str, Result]:
    """`run` for several experiments; on a CPU, with a process per core.

    The tensors are small: several processes of one thread each are faster than one of many threads.
    """
    processes = cpu_count() if device == "cpu" else 1  # cores that this process may use
    with parallel_config("loky", inner_max_num_threads=1):
        made = Parallel(min(processes, len(names)), return_as="generator")(
            delayed(run)(name, corpus, profile, folder, seed, device, variation) for name in names
        )
        return dict(zip(names, tqdm(made, total=len(names)), strict=True))


def best(results: Mapping[str, Result], n: int) -> list[str]:
    """The n experiments with the lowest joint angle on the validation windows, best first."""
    lowest = {}
    for name, result in results.items():
        history = result.history
        if "pretraining" in history:  # a GAN's, whose weights never come from there
            history = history[~history.pretraining]
        lowest[name] = history.joint_angle.min()
    return sorted(lowest, key=lowest.__getitem__)[:n]


def _prepared(experiment: Experiment, corpus: Corpus, device: str) -> MotionData:
    return prepare(
        corpus, experiment.pose_format, experiment.scaling, experiment.mirror, device,
        experiment.speeds,
    )  # fmt: skip


def _trained(
    experiment: Experiment, data: MotionData, folder: Path, seed: int
) -> tuple[Forecaster, pd.DataFrame]:
    """The network with its best weights and its history: read if finished, trained otherwise."""
    task, values = pose_task(data), saved.to_json(experiment)
    made_from = {"experiment": values, "seed": seed, "clips": task.digest, "form": FORM}
    mark = Mark(folder / TRAINED, made_from)
    weights, history = folder / "best.pt", folder / "history.csv"
    if mark.is_finished and weights.is_file() and history.is_file():
        return _with_weights(experiment, data, folder), pd.read_csv(history)

    _refuse_stopped(folder, values)
    mark.tell_why_again([mark.path])
    for old in (mark.path, weights):  # a kill must not leave them beside files of other values
        old.unlink(missing_ok=True)
    write_json(folder / "config.json", values)
    torch.manual_seed(seed)
    match experiment.training:
        case gan.GanTraining() as training:
            pair = gan.Gan(experiment.model, replace(training, seed=seed), data.space.normaliser)
            model, loop = pair.generator, gan.GanLoop(pair, task)
        case Training() as training:
            model = _built(experiment, data)
            loop = Loop(model, task, replace(training, seed=seed))
    history = loop.run(folder)
    mark.write()
    return model, history


def _refuse_stopped(folder: Path, values: dict[str, Any]) -> None:
    """Refuse to go on with a stopped training of another experiment, even if its state would fit.

    A network that sees 30 frames a second has weights of the same shapes as one that sees 20.
    """
    state, config = folder / "last.pt", folder / "config.json"
    if state.is_file() and config.is_file():
        before = json.loads(config.read_text(encoding="utf-8"))
        if changed := changes(before, values):
            raise InputError(
                f"{state}: expected the state of this very training, found one of other values: "
                f"{', '.join(changed)}; choose another run folder, or {DELETE}"
            )


def _built(experiment: Experiment, data: MotionData) -> Forecaster:
    config = experiment.model
    config = config.generator if isinstance(config, gan.Config) else config
    model = models.build(config, data.space.normaliser)
    model = model if experiment.every == 1 else Thinned(model, experiment.every)
    return model.to(data.test.device)


def _with_weights(experiment: Experiment, data: MotionData, folder: Path) -> Forecaster:
    model = _built(experiment, data)
    model.load_state_dict(checkpoint.load(folder / "best.pt", data.test.device))
    return model


def load(folder: Path, corpus: Corpus, device: str = "cpu") -> tuple[Forecaster, MotionData]:
    """An experiment's network, from its folder, and the data that the network saw.

    Raises:
        InputError: the folder holds no finished experiment.
    """
    experiment = saved.load(folder / "config.json")
    data = _prepared(experiment, corpus, device)
    return _with_weights(experiment, data, folder).eval(), data


def authors_weights(given: str) -> Path:
    """The file of the authors' own weights: the given path, or the usual one.

    Raises:
        InputError: a path is given and there is no file.
    """
    path = anchored(given or "input/motion-transformer.npz")
    if given and not path.is_file():
        raise InputError(f"AUTHORS_WEIGHTS: expected a file, found none at {path}; leave it empty")
    return path


def authors_outcome(weights: Path, corpus: Corpus, device: str = "cpu") -> FrameErrors | str:
    """Errors of study 01, the authors' own weights; or a sentence that says why they are absent.

    `weights` is the .npz that pretrained.py describes. The corpus' test clips are forecast,
    normalised by its training clips.
    """
    if not weights.is_file():
        return f"absent: no file {weights}; the authors' weights are at {pretrained.WHERE}"
    experiment = PUBLISHED[AUTHORS]
    data = _prepared(experiment, corpus, device)
    model = models.build(experiment.model, data.space.normaliser)
    pretrained.load_authors(weights, model)
    made = forecasts(model.to(device), data.test[:, :SEED], TARGET)
    return frame_errors(data.space.decode(made), data.test_truth)


def bar_errors(corpus: Corpus) -> dict[str, FrameErrors]:
    """Zero velocity, constant velocity and ridge regression on the test windows.

    The ridge is fitted on training and validation clips, since its training is not stopped early.
    """
    raw = [torch.from_numpy(clip.predicted) for clip in corpus.test]
    windows = evaluation_windows(raw, corpus.cut, "test")
    seeds, truth = windows[:, :SEED], windows[:, SEED:]
    # Of a training window of 144 frames the ridge reads the last ten of the seed, and the target.
    read = bars.READ + TARGET
    known = [
        torch.from_numpy(clip.predicted[LENGTH - read :]).flatten(2)
        for clip in (*corpus.train, *corpus.valid)
    ]
    ridge = bars.ridge(sliding(known, RIDGE_STRIDE, read, read), seeds.flatten(3), TARGET)
    forecasts_of = {
        "zero velocity": bars.zero_velocity(seeds, TARGET),
        "constant velocity": bars.constant_velocity(seeds.double(), TARGET),
        "ridge": ridge.unflatten(-1, (3, 3)),
    }
    return {name: frame_errors(made, truth) for name, made in forecasts_of.items()}
