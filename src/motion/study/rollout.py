"""Roll-outs of many seconds: where does predicted motion freeze, drift or begin to jitter?

Forecasts are fed back for 1000 frames (16.7 s). Measured in each second:

- speed: mean angular speed of the prediction over that of the truth; near 0 the body has frozen.
- drift: distance of predicted matrices from true rotations, before any projection.
- entropy: of the power spectrum of matrix entries over time, 0 to 1; low for periodic motion, high
  for jitter.

Letters: **B** seeds, **T** frames, **N** forecast frames, **J** = 15 joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.clip import FPS
from src.motion.body.pose_space import PoseSpace
from src.motion.body.rotations import angle_between, distance_from_rotations, nearest_rotation
from src.motion.data.corpus import Corpus
from src.motion.data.windows import SEED
from src.motion.models.forecaster import Forecaster
from src.motion.study.run import Result
from src.motion.training.task import forecasts

FRAMES = 1000
SECOND = int(FPS)


def roll_out(
    model: Forecaster,
    space: PoseSpace,
    seed: Float[Tensor, "B T J M"],
    n: int = FRAMES,
    reproject: bool = False,
) -> Float[Tensor, "B N 15 3 3"]:
    """Continue seeds by n frames.

    Args:
        model: any forecaster of poses.
        space: leads back from the model's scale.
        seed: at least the frames that the model looks back.
        n: frames to add.
        reproject: make true rotations of frames before they are fed back.

    Returns:
        Predicted matrices, not projected.
    """
    return space.decode(forecasts(model, seed, n, space.reproject if reproject else None))


@dataclass(frozen=True)
class RollOut:
    """A long roll-out of the test clips.

    Args:
        predicted: (B, N, 15, 3, 3), not projected.
        table: from `per_second`.
    """

    predicted: Float[Tensor, "B N 15 3 3"]
    table: pd.DataFrame


def roll_outs(
    results: Mapping[str, Result], corpus: Corpus, n: int = FRAMES, reproject: bool = False
) -> dict[str, RollOut]:
    """Roll every model out from the beginning of every test clip, and compare with its rest."""
    long_enough = [number for number, clip in enumerate(corpus.test) if len(clip) >= SEED]
    truth = [torch.from_numpy(corpus.test[number].predicted[SEED:]) for number in long_enough]
    made = {}
    for name, result in results.items():
        seeds = torch.stack([result.data.test_clips[number][:SEED] for number in long_enough])
        predicted = roll_out(result.model, result.data.space, seeds, n, reproject).cpu()
        made[name] = RollOut(predicted, per_second(predicted, truth))
    return made


def per_second(
    predicted: Float[Tensor, "B N 15 3 3"], truth: list[Float[Tensor, "_ 15 3 3"]]
) -> pd.DataFrame:
    """Freezing, drift and jitter of a roll-out.

    Args:
        predicted: matrices, not projected.
        truth: per seed the true frames that follow it, as many as there are.

    Returns:
        A row per second: second (1 = the first), speed (NaN where no truth is left), drift,
        entropy.
    """
    rotations = nearest_rotation(predicted.double())
    speed = angular_speed(rotations)
    rows = []
    for start in range(0, predicted.shape[1] - SECOND + 1, SECOND):
        within = slice(start, start + SECOND - 1)  # N frames have N - 1 changes
        ratios = [
            speed[b, within].mean() / angular_speed(true.double()[None])[0, within].mean()
            for b, true in enumerate(truth)
            if len(true) >= start + SECOND
        ]
        frames = slice(start, start + SECOND)
        rows.append({
            "second": start // SECOND + 1,
            "speed": torch.stack(ratios).mean().item() if ratios else float("nan"),
            "drift": distance_from_rotations(predicted[:, frames].double()).mean().item(),
            "entropy": spectral_entropy(rotations[:, frames]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def angular_speed(rotations: Float[Tensor, "B N 15 3 3"]) -> Float[Tensor, "B M"]:
    """Mean angle from frame to frame, radians per second; one fewer than frames."""
    return angle_between(rotations[:, 1:], rotations[:, :-1]).mean(-1) * FPS


def spectral_entropy(rotations: Float[Tensor, "B N 15 3 3"]) -> float:
    """Entropy of the power spectrum of each matrix entry over time, divided by its largest value.

    The mean is taken out first; a motionless entry has no spectrum and counts as 0.
    """
    entries = rotations.flatten(2)
    power = torch.fft.rfft(entries - entries.mean(1, keepdim=True), dim=1).abs().square()[:, 1:]
    total = power.sum(1)
    share = power / total.clamp(min=1e-12)[:, None]
    entropy = torch.special.entr(share).sum(1) / torch.log(torch.tensor(float(power.shape[1])))
    # Weighed by power, so that the rounding noise of still joints does not look like jitter.
    return ((entropy * total).sum() / total.sum().clamp(min=1e-12)).item()
