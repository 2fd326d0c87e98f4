"""The same forecasters on sign clips: predict the next 24 frames of hands and pose.

- The networks get landmarks instead of joints, and coordinates instead of rotation entries: J = L,
  M = 3.
- Clips are normalised by the shoulders, as in the recipes, because the signer's place and size say
  nothing about the sign. In validation both are measured on the given frames only. Errors are in
  the unit of the clip.
- A landmark that was not detected is NaN. The network reads the last place where it was detected,
  or, before its first detection, the mean of all clips. Losses and errors do not count it. Errors
  do not count landmarks that are missing from the whole seed either.
- Clips run at 30 Hz or less, and most are shorter than 2.4 s. So the seed is shorter than for body
  motion, and clips that are shorter than seed and target together are not used.

Letters: **B** windows, **T** frames, **L** landmarks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from src.clips import RawClip
from src.common.errors import InputError
from src.dataset.sample.lexicon import draw_lexicon
from src.dataset.sample.signers import draw_signers
from src.dataset.sample.writer import record
from src.dataset.store import Store
from src.landmarks import LEFT_HAND, N_LANDMARKS, POSE_17, RIGHT_HAND, Layout
from src.motion import models
from src.motion.body.pose_space import Normaliser, Scaling
from src.motion.data import windows
from src.motion.study.bars import zero_velocity
from src.motion.study.experiments import PROFILES, PUBLISHED, Profile, resized
from src.motion.training.loop import Loop
from src.motion.training.losses import JointNorm, PointSpace
from src.motion.training.task import Task, forecasts
from src.transforms.steps.normalise import FromShoulders

LAYOUT = Layout({"left_hand": LEFT_HAND, "pose": POSE_17, "right_hand": RIGHT_HAND})
POINTS = [point for (point,) in LAYOUT.points]  # their numbers in a raw clip
SEED = 24  # frames given
TARGET = 24  # frames forecast, as for body motion
COORDINATES = Scaling(floor=1e-3)  # in image units, where coordinates are within 0 to 1


def sign_task(
    train: Sequence[Float[np.ndarray, "_ L 3"]],
    valid: Sequence[Float[np.ndarray, "_ L 3"]],
    normalise: FromShoulders | None = None,
    device: torch.device | str = "cpu",
) -> Task:
    """The task of forecasting landmarks, scored by the mean position error of detected ones.

    Validation clips are of other signers; NaN = not detected. `normalise` is a recipe's step;
    without it coordinates stay those of the image.

    Raises:
        InputError: a split has no clip of `SEED` + `TARGET` frames.
    """
    clips, length = {}, SEED + TARGET
    for split, given in (("train", train), ("valid", valid)):
        clips[split] = [torch.as_tensor(clip).float() for clip in given if len(clip) >= length]
        if not clips[split]:
            longest = max(map(len, given), default=0)
            raise InputError(
                f"SIGNS, {split}: expected a sign clip of {length} frames, {SEED} seen, {TARGET} "
                f"forecast; the longest of {len(given)} has {longest}. Choose a store of longer "
                "clips, or leave SIGNS empty"
            )
    # A stride of the target's length: every frame is forecast about once.
    cut = windows.sliding(clips["valid"], TARGET, length, length)
    cut = cut.masked_fill(cut[:, :SEED].isnan().all(1, keepdim=True), torch.nan)
    size = torch.ones(len(cut), 1, 1, 3)
    if normalise is not None:
        clips["train"] = [normalise(clip, LAYOUT) for clip in clips["train"]]
        for number, window in enumerate(cut):
            cut[number], size[number] = _by_its_seed(window, normalise)
    normaliser = Normaliser.fit(torch.cat(clips["train"]), COORDINATES)
    truths = tuple(normaliser.normalise(clip).to(device) for clip in clips["train"])
    cut = normaliser.normalise(cut).to(device)
    space = PointSpace(normaliser.to(device), size.to(device))

    def position_error(forecasts: Tensor) -> float:
        return _distances(forecasts, cut[:, SEED:], space).nanmean().item()

    filled = tuple(hold_last(clip) for clip in truths)
    valid_filled = torch.stack([hold_last(window) for window in cut])
    return Task(filled, truths, valid_filled, cut, SEED, space, position_error, "position_error")


def _by_its_seed(
    window: Float[Tensor, "T L 3"], normalise: FromShoulders
) -> tuple[Float[Tensor, "T L 3"], Float[Tensor, "3"]]:
    """A window normalised by its seed alone, and the size of the new unit per coordinate.

    The step shifts and scales each coordinate. The amounts are read off the seed's extremes before
    and after the step, so the target, which is not known yet, has no part in them.
    """
    before, after = (x[:SEED].flatten(0, 1) for x in (window, normalise(window[:SEED], LAYOUT)))
    low, high = (before.nan_to_num(sign * torch.inf) for sign in (1, -1))
    extremes = torch.stack([low.argmin(0), high.argmax(0)])  # (2, 3) numbers of points
    (low, high), (new_low, new_high) = before.gather(0, extremes), after.gather(0, extremes)
    apart = new_high - new_low
    known = apart.isfinite() & (apart > 0)
    size = torch.where(known, (high - low) / apart, 1.0)
    shift = torch.where(known, low - new_low * size, 0.0)
    return (window - shift) / size, size


def from_store(store: Store) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training and validation clips of a landmark store, hands and pose of `LAYOUT`.

    Fold 0 validates. Folds hold signers apart, so validation clips are of other people.

    Raises:
        InputError: the store lacks landmarks of the layout.
    """
    missing = set(LAYOUT.sources) - set(store.landmarks)
    if missing:
        raise InputError(
            f"{store.folder}: expected all hand and pose landmarks, {len(missing)} are missing; "
            "prepare a store for a recipe that reads them"
        )
    columns = [store.landmarks.index(point) for point in POINTS]
    clips: tuple[list, list] = ([], [])
    for number, fold in enumerate(store.clips.fold):
        clips[fold == 0].append(store.clip(number)[:, columns])
    return clips


def synthetic_signs(seed: int, clips: int = 40) -> list[Float[np.ndarray, "_ L 3"]]:
    """Clips of the sample's made-up signers, one signer after the other.

    They show that the code works and say nothing about signing. The signers are slow, because
    most clips of the sample are shorter than seed and target together.
    """
    signs, signers = draw_lexicon(24, seed), draw_signers(5, seed)
    made = []
    for number in range(clips):
        signer = replace(signers[number * len(signers) // clips], frames=90.0)
        rng = np.random.default_rng([seed, number])
        made.append(record(signs[number % len(signs)], signer, rng)[:, POINTS])
    return made


def hold_last(clip: Float[Tensor, "T L 3"]) -> Float[Tensor, "T L 3"]:
    """NaN replaced by the last value before it, or by 0, the mean, where there is none."""
    frame = torch.arange(len(clip), device=clip.device)[:, None, None].expand_as(clip)
    last = torch.where(clip.isfinite(), frame, -1).cummax(0).values
    return torch.where(last >= 0, clip.gather(0, last.clamp(min=0)), 0.0)


def run_signs(task: Task, profile: Profile | None, folder: Path, seed: int) -> dict[str, Tensor]:
    """Train two of the study's networks on sign clips and forecast the validation windows.

    The folder gets a subfolder per network. Without a profile the sizes are those of "cpu", since
    none are published for signs.

    Returns:
        (B, N, L, 3) on the network's scale, by experiment name.
    """
    profile = profile or PROFILES["cpu"]
    made = {}
    for name in ("ours", "seq2seq"):
        experiment = resized(PUBLISHED[name], profile)
        config = replace(experiment.model, window=min(task.seed, experiment.model.window))
        training = replace(
            experiment.training, seed=seed, seconds=profile.seconds, loss=JointNorm("raw")
        )
        torch.manual_seed(seed)
        model = models.build(config, task.space.normaliser).to(task.valid.device)
        Loop(model, task, training).run(folder / name)
        made[name] = forecasts(model, task.valid[:, : task.seed], task.target)
    return made


def part_errors(
    task: Task, forecasts: Mapping[str, Float[Tensor, "B N L 3"]], layout: Layout = LAYOUT
) -> pd.DataFrame:
    """Mean position error per part, in the clips' own unit, of each forecast and zero velocity.

    `forecasts` has those of all validation windows, by model.

    Returns:
        Parts down, models across, "zero velocity" first.
    """
    true = task.valid_truth[:, task.seed :]
    held = zero_velocity(task.valid[:, : task.seed], task.target)
    table = {}
    for name, made in {"zero velocity": held, **forecasts}.items():
        distances = _distances(made, true, task.space)
        table[name] = {
            part: distances[..., list(layout.rows(part))].nanmean().item() for part in layout.parts
        }
    return pd.DataFrame(table)


def liveliest(task: Task, forecast: Float[Tensor, "B N L 3"]) -> dict[str, RawClip]:
    """The validation window that moves the most: last frame seen, truth and forecast at the end.

    Each is a clip of one frame; NaN = not in the layout, or not detected.
    """
    seen, future = task.valid_truth[:, task.seed - 1], task.valid_truth[:, -1]
    moved = _distances(seen[:, None], future[:, None], task.space).nansum((1, 2))
    chosen = int(moved.argmax())
    made = torch.where(future.isnan(), torch.nan, forecast[:, -1])
    frames = {"last frame seen": seen, f"truth, {task.target} frames on": future, "forecast": made}
    drawn = {}
    for name, windows_of in frames.items():
        drawn[name] = np.full((1, N_LANDMARKS, 3), np.nan, np.float32)
        restored = task.space.normaliser.restore(windows_of[chosen])
        drawn[name][0, POINTS] = restored.cpu().numpy()
    return drawn


def _distances(
    made: Float[Tensor, "B N L 3"], true: Float[Tensor, "B N L 3"], space: PointSpace
) -> Float[Tensor, "B N L"]:
    """Distance in the image plane (x, y), in the clips' unit; NaN where nothing was detected.

    MediaPipe's z is an estimate on another scale, so it is forecast but not scored.
    """
    return ((made - true) * space.normaliser.scale * space.size)[..., :2].norm(dim=-1)
