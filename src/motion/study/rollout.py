"""Roll-outs of many seconds: where does predicted motion freeze, drift or begin to jitter?

Forecasts are fed back for 1000 frames (16.7 s). Measured in each second:

- speed: mean angular speed of the prediction over that of the truth; near 0 the body has frozen.
  Seconds in which the truth stands perfectly still have no such ratio and are not counted.
- drift: distance of predicted matrices from true rotations, before any projection.
- entropy: of the power spectrum of matrix entries over time, 0 to 1; low for periodic motion, high
  for jitter.

Letters: **B** seeds, **T** frames, **N** forecast frames, **J** = 15 joints.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.clip import FPS
from src.motion.body.rotations import angle_between, distance_from_rotations, nearest_rotation
from src.motion.data.corpus import Corpus
from src.motion.data.windows import SEED
from src.motion.study.run import Result
from src.motion.training.task import forecasts

FRAMES = 1000
EXAMPLES = 12  # at most: one takes some ten seconds, and CMU's names make each clip an action
SECOND = int(FPS)


@dataclass(frozen=True)
class RollOut:
    """A long roll-out of the test clips."""

    predicted: Float[Tensor, "B N 15 3 3"]  # not projected
    truth: list[Float[Tensor, "_ 15 3 3"]]  # all frames that follow each seed in its clip
    actions: list[str]  # what the clips show, by their names

    @cached_property
    def table(self) -> pd.DataFrame:
        return per_second(self.predicted, self.truth)


def roll_outs(
    results: Mapping[str, Result], corpus: Corpus, n: int = FRAMES, reproject: bool = False
) -> dict[str, RollOut]:
    """Continue the first 120 frames of every test clip that has that many, with each model.

    With `reproject` frames are projected to rotations before they are fed back.
    """
    whole = [clip for clip in corpus.test if len(clip) >= SEED]
    truth = [torch.from_numpy(clip.predicted[SEED:]) for clip in whole]
    actions = [action_of(clip.name) for clip in whole]
    made = {}
    for name, result in results.items():
        space, clips = result.data.space, result.data.test_clips
        seeds = torch.stack([clip[:SEED] for clip in clips if len(clip) >= SEED])
        feedback = space.reproject if reproject else None
        predicted = space.decode(forecasts(result.model, seeds, n, feedback)).cpu()
        made[name] = RollOut(predicted, truth, actions)
    return made


def action_of(name: str) -> str:
    """The action in a clip's name: `walking_2` is walking, and so is AMASS' `walking_2_poses`.

    A name without letters, such as CMU's `01_02`, names no action, so it counts as one by itself.
    """
    return re.sub(r"[\W_\d]+$", "", re.sub(r"_(poses|stageii)$", "", name)) or name


def by_action(rollout: RollOut) -> pd.DataFrame:
    """Freezing and drift of a roll-out, a row per action.

    Returns:
        clips; seconds of truth; speed, first and last: mean angular speed of the prediction in its
        first and its last second, divided by the action's true speed (0 = frozen; NaN if the truth
        is missing or stands still); drift and entropy of the last second.
    """
    rows = {}
    for action in sorted(set(rollout.actions)):
        of = [number for number, name in enumerate(rollout.actions) if name == action]
        predicted, truth = rollout.predicted[of], [rollout.truth[number] for number in of]
        table = per_second(predicted, truth)
        speeds = angular_speed(nearest_rotation(predicted.double()))
        true = torch.cat([angular_speed(frames.double()[None])[0] for frames in truth]).mean()
        true = true if true > 0 else torch.nan
        rows[action] = {
            "clips": len(of),
            "truth, s": max(map(len, truth)) / FPS,
            "speed, first": (speeds[:, : SECOND - 1].mean() / true).item(),
            "speed, last": (speeds[:, 1 - SECOND :].mean() / true).item(),
            "drift": table.drift.iloc[-1],
            "entropy": table.entropy.iloc[-1],
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def examples(
    rollout: RollOut,
) -> dict[str, tuple[Float[Tensor, "N 15 3 3"], Float[Tensor, "_ 15 3 3"]]]:
    """For each action, the roll-out of the clip whose truth lasts longest, and that truth.

    An action whose clips end with the seed has no truth, and is left out. At most `EXAMPLES` are
    returned, the first in the order of the clips.
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for action, *pair in zip(rollout.actions, rollout.predicted, rollout.truth, strict=True):
        if len(pair[1]) > (len(found[action][1]) if action in found else 0):
            found[action] = tuple(pair)
    return dict(list(found.items())[:EXAMPLES])


def per_second(
    predicted: Float[Tensor, "B N 15 3 3"], truth: list[Float[Tensor, "_ 15 3 3"]]
) -> pd.DataFrame:
    """Freezing, drift and jitter of predicted matrices that are not projected.

    The truth of a seed has all frames that follow the seed, perhaps fewer than were predicted.

    Returns:
        A row per second: second (1 = the first), speed (NaN where no moving truth is left), drift,
        entropy.
    """
    rotations = nearest_rotation(predicted.double())
    speeds = angular_speed(rotations)
    true_speeds = [angular_speed(frames.double()[None])[0] for frames in truth]
    rows = []
    for start in range(0, predicted.shape[1] - SECOND + 1, SECOND):
        within = slice(start, start + SECOND - 1)  # N frames have N - 1 changes
        ratios = [
            made[within].mean() / true[within].mean()
            for made, true in zip(speeds, true_speeds, strict=True)
            if len(true) >= within.stop and true[within].mean() > 0
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
    """Mean angle from frame to frame in radians per second; M = N - 1."""
    return angle_between(rotations[:, 1:], rotations[:, :-1]).mean(-1) * FPS


def spectral_entropy(rotations: Float[Tensor, "B N 15 3 3"]) -> float:
    """Entropy of each matrix entry's power spectrum over time, divided by the largest possible.

    The mean is taken out first; a motionless entry has no spectrum and counts as 0.
    """
    entries = rotations.flatten(2)
    power = torch.fft.rfft(entries - entries.mean(1, keepdim=True), dim=1).abs().square()[:, 1:]
    total = power.sum(1)
    share = power / total.clamp(min=1e-12)[:, None]
    entropy = torch.special.entr(share).sum(1) / torch.log(torch.tensor(float(power.shape[1])))
    # Weighted by power, so the rounding noise of still joints does not look like jitter.
    return ((entropy * total).sum() / total.sum().clamp(min=1e-12)).item()
