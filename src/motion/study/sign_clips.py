"""The same forecasters on sign clips: predict the next 24 frames of hands and pose.

- The networks get landmarks instead of joints, and coordinates instead of rotation entries: J = L,
  M = 3.
- A landmark that was not detected is NaN. The network reads the last place where it was detected,
  or, before its first detection, the mean of all clips. Losses and errors do not count it. Errors
  do not count landmarks that are missing from the whole seed either.
- Clips have 30 Hz or less, and most are shorter than 2.4 s. So the seed is shorter than for body
  motion, and clips that are shorter than seed and target together are not used.

Letters: **B** windows, **T** frames, **L** landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from src.common.errors import InputError
from src.dataset.store import Store
from src.landmarks import (
    LEFT_ELBOW,
    LEFT_HAND,
    LEFT_WRIST,
    POSE_17,
    RIGHT_ELBOW,
    RIGHT_HAND,
    RIGHT_WRIST,
    Layout,
)
from src.motion import models
from src.motion.body.pose_space import Normaliser, Scaling
from src.motion.data import windows
from src.motion.study.bars import zero_velocity
from src.motion.study.experiments import PROFILES, PUBLISHED, Profile, resized
from src.motion.training.loop import Training, train
from src.motion.training.losses import PointSpace
from src.motion.training.task import Task, forecasts

LAYOUT = Layout({"left_hand": LEFT_HAND, "pose": POSE_17, "right_hand": RIGHT_HAND})
SEED = 24  # frames given
TARGET = 24  # frames forecast, as for body motion
COORDINATES = Scaling(floor=1e-3)  # of image units: coordinates within 0 to 1


def sign_task(
    train: Sequence[Float[np.ndarray, "_ L 3"]],
    valid: Sequence[Float[np.ndarray, "_ L 3"]],
    seed: int = SEED,
    target: int = TARGET,
    device: torch.device | str = "cpu",
) -> Task:
    """Forecasting landmarks, scored by the mean position error of what was seen.

    Args:
        train: clips, NaN = not detected.
        valid: clips of other signers.
        seed: frames given.
        target: frames forecast.
        device: where the tensors go.

    Raises:
        InputError: a split has no clip of seed + target frames.
    """
    clips = {"train": [torch.as_tensor(clip).float() for clip in train]}
    clips["valid"] = [torch.as_tensor(clip).float() for clip in valid]
    length = seed + target
    for split in clips:
        long_enough = [c for c in clips[split] if len(c) >= length]
        if not long_enough:
            longest = max(map(len, clips[split]), default=0)
            raise InputError(
                f"{split}: expected a sign clip of {length} frames, the longest of "
                f"{len(clips[split])} has {longest}; give more clips, or a shorter seed"
            )
        clips[split] = long_enough
    normaliser = Normaliser.fit(torch.cat(clips["train"]), COORDINATES)
    truths = {s: [normaliser.normalise(c).to(device) for c in clips[s]] for s in clips}
    normaliser = normaliser.to(device)
    # A stride of the target's length: every frame is forecast about once.
    cut = _only_seen(windows.sliding(truths["valid"], target, length, length), seed)
    space = PointSpace(normaliser)

    def position_error(forecasts: Tensor) -> float:
        made, true = normaliser.restore(forecasts), normaliser.restore(cut[:, seed:])
        return _distances(made, true).nanmean().item()

    filled = tuple(hold_last(clip) for clip in truths["train"])
    valid_filled = torch.stack([hold_last(window) for window in cut])
    return Task(
        filled, tuple(truths["train"]), valid_filled, cut, seed, space, position_error,
        "position_error",
    )  # fmt: skip


def from_store(store: Store, fold: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The clips of a landmark store, hands and pose of `LAYOUT`: other folds, and one fold.

    Folds hold signers apart, so validation clips are of other people.

    Raises:
        InputError: the store lacks landmarks of the layout.
    """
    missing = set(LAYOUT.sources) - set(store.landmarks)
    if missing:
        raise InputError(
            f"{store.folder}: expected all hand and pose landmarks, {len(missing)} are missing; "
            "prepare a store for a recipe that reads them"
        )
    columns = [store.landmarks.index(point) for (point,) in LAYOUT.points]
    clips: tuple[list, list] = ([], [])
    for number, of in enumerate(store.clips.fold):
        clips[of == fold].append(store.clip(number)[:, columns])
    return clips


def synthetic_signs(seed: int, clips: int = 40) -> list[np.ndarray]:
    """Made-up clips in the same layout: hands circle, arms follow, hands are lost for some frames.

    They show that the code works and say nothing about signing.
    """
    rng = np.random.default_rng(seed)
    made = []
    hands = {part: list(LAYOUT.rows(part)) for part in ("left_hand", "right_hand")}
    arms = {"left_hand": (LEFT_ELBOW, LEFT_WRIST), "right_hand": (RIGHT_ELBOW, RIGHT_WRIST)}
    pose = rng.uniform(0.3, 0.7, (len(LAYOUT), 3))
    for _ in range(clips):
        t = np.arange(rng.integers(50, 90)) / 30
        clip = np.tile(pose, (len(t), 1, 1)) + rng.normal(0, 0.02, 3)
        for part, rows in hands.items():
            phase, hertz, size = rng.uniform(), rng.uniform(0.5, 1.2), rng.uniform(0.05, 0.12)
            turn = 2 * np.pi * (hertz * t + phase)
            path = size * np.stack([np.cos(turn), np.sin(turn), 0 * t], -1)
            clip[:, rows] += path[:, None] + 0.01 * np.sin(turn)[:, None, None]
            for share, point in zip((0.4, 1.0), arms[part], strict=True):
                clip[:, LAYOUT.points.index((point,))] += share * path
        gone = hands["left_hand" if rng.uniform() < 0.5 else "right_hand"]
        start = int(rng.integers(len(t)))
        clip[start : start + int(rng.integers(0, 12)), gone] = np.nan
        made.append(clip.astype(np.float32))
    return made


def hold_last(clip: Float[Tensor, "T L 3"]) -> Float[Tensor, "T L 3"]:
    """NaN replaced by the last value before it, or by 0, the mean, where there is none."""
    frame = torch.arange(len(clip), device=clip.device)[:, None, None].expand_as(clip)
    last = torch.where(clip.isfinite(), frame, -1).cummax(0).values
    return torch.where(last >= 0, clip.gather(0, last.clamp(min=0)), 0.0)


def _only_seen(windows: Float[Tensor, "B T L 3"], seed: int) -> Float[Tensor, "B T L 3"]:
    """The windows, with NaN for landmarks that are missing from the whole seed."""
    unseen = windows[:, :seed].isnan().all(1, keepdim=True)
    return windows.masked_fill(unseen, torch.nan)


def run_signs(task: Task, profile: Profile | None, folder: Path, seed: int) -> dict[str, Tensor]:
    """Train two of the study's networks on sign clips and forecast the validation windows.

    Args:
        task: from `sign_task`.
        profile: sizes and time; None = those of "cpu", since none are published for signs.
        folder: gets a folder per network.
        seed: of everything random.

    Returns:
        (B, N, L, 3) on the network's scale, by experiment name.
    """
    profile = profile or PROFILES["cpu"]
    made = {}
    for name in ("ours", "seq2seq"):
        experiment = resized(PUBLISHED[name], profile)
        assert isinstance(experiment.training, Training)
        window = {"window": min(task.seed, experiment.model.window)}
        training = replace(experiment.training, seed=seed, seconds=profile.seconds)
        torch.manual_seed(seed)
        model = models.build(replace(experiment.model, **window), task.space.normaliser)
        model.to(task.valid.device)
        train(model, task, training, folder / name)
        made[name] = forecasts(model, task.valid[:, : task.seed], task.target)
    return made


def part_errors(
    task: Task, forecasts: Mapping[str, Float[Tensor, "B N L 3"]], layout: Layout = LAYOUT
) -> pd.DataFrame:
    """Mean position error per part, in the clips' own unit, of each forecast and zero velocity.

    Args:
        task: from `sign_task`.
        forecasts: of all validation windows, by model.
        layout: the parts of the clips' landmarks.

    Returns:
        Parts down, models across, "zero velocity" first.
    """
    restore = task.space.normaliser.restore
    true = restore(task.valid_truth[:, task.seed :])
    held = zero_velocity(task.valid[:, : task.seed], task.target)
    table = {}
    for name, made in {"zero velocity": held, **forecasts}.items():
        distances = _distances(restore(made), true)
        table[name] = {
            part: distances[..., list(layout.rows(part))].nanmean().item() for part in layout.parts
        }
    return pd.DataFrame(table)


def _distances(
    made: Float[Tensor, "B N L 3"], true: Float[Tensor, "B N L 3"]
) -> Float[Tensor, "B N L"]:
    """Distance in the image plane (x, y); NaN where the truth was not detected.

    MediaPipe's z is an estimate on another scale, so it is forecast but not scored.
    """
    return (made - true)[..., :2].norm(dim=-1)
