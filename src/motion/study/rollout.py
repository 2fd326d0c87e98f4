"""Roll-outs of many seconds: where does predicted motion freeze, drift or begin to jitter?

Forecasts are fed back for 1000 frames (16.7 s). Measured in each second:

- speed: mean angular speed of the prediction over that of the truth; near 0 the body has frozen.
- drift: distance of predicted matrices from true rotations, before any projection.
- entropy: of the power spectrum of matrix entries over time, 0 to 1; low for periodic motion, high
  for jitter.

Letters: **B** seeds, **T** frames, **N** forecast frames, **J** = 15 joints.
"""

from __future__ import annotations

import re
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
    long_enough = _long_enough(corpus)
    truth = _futures(corpus)
    made = {}
    for name, result in results.items():
        seeds = torch.stack([result.data.test_clips[number][:SEED] for number in long_enough])
        predicted = roll_out(result.model, result.data.space, seeds, n, reproject).cpu()
        made[name] = RollOut(predicted, per_second(predicted, truth))
    return made


def _long_enough(corpus: Corpus) -> list[int]:
    return [number for number, clip in enumerate(corpus.test) if len(clip) >= SEED]


def _futures(corpus: Corpus) -> list[Float[Tensor, "_ 15 3 3"]]:
    """What follows the seed in every test clip that has one."""
    clips = (corpus.test[number] for number in _long_enough(corpus))
    return [torch.from_numpy(clip.predicted[SEED:]) for clip in clips]


def action_of(name: str) -> str:
    """The action in a clip's name: `walking_2` is walking."""
    return re.sub(r"[\W_\d]+$", "", name) or name


def by_action(rollout: RollOut, corpus: Corpus) -> pd.DataFrame:
    """Freezing and drift of a roll-out, an action of the test clips a row.

    Args:
        rollout: one of `roll_outs`, of the same corpus.
        corpus: whose test clips it continues.

    Returns:
        clips; seconds of truth; speed, first and last: mean angular speed of the prediction in its
        first and its last second over the action's true one (0 = frozen; NaN without truth); drift
        and entropy of the last second.
    """
    truth = _futures(corpus)
    actions = [action_of(corpus.test[number].name) for number in _long_enough(corpus)]
    rows = {}
    for action in sorted(set(actions)):
        of = [number for number, name in enumerate(actions) if name == action]
        table = per_second(rollout.predicted[of], [truth[number] for number in of])
        speeds = angular_speed(nearest_rotation(rollout.predicted[of].double()))
        true = torch.cat([angular_speed(truth[n].double()[None])[0] for n in of]).mean()
        rows[action] = {
            "clips": len(of),
            "truth, s": max(len(truth[number]) for number in of) / FPS,
            "speed, first": (speeds[:, : SECOND - 1].mean() / true).item(),
            "speed, last": (speeds[:, 1 - SECOND :].mean() / true).item(),
            "drift": table.drift.iloc[-1],
            "entropy": table.entropy.iloc[-1],
        }
    return pd.DataFrame(rows).T.astype({"clips": int})


def examples(
    rollout: RollOut, corpus: Corpus
) -> dict[str, tuple[Float[Tensor, "N 15 3 3"], Float[Tensor, "_ 15 3 3"]]]:
    """By action, the roll-out of the clip whose truth lasts longest, and that truth."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    clips = (corpus.test[number] for number in _long_enough(corpus))
    for clip, made, truth in zip(clips, rollout.predicted, _futures(corpus), strict=True):
        action = action_of(clip.name)
        if action not in found or len(truth) > len(found[action][1]):
            found[action] = made, truth
    return found


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
