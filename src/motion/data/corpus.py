"""A folder of motion files, read as training, validation and test clips and encoded for networks.

- Splits are the subfolders train/, test/ and, if there is one, valid/; or the published lists; or
  fairmotion's three files of prepared windows.
- Without a valid split every eighth training clip, by name, is held out for validation, so early
  stopping never sees a test clip; train/ then needs at least eight clips.
- Every clip is resampled to 60 Hz as it is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from src.common.errors import InputError, check_choice
from src.motion.body.clip import MotionClip
from src.motion.body.pose_space import Normaliser, PoseFormat, PoseSpace, Scaling, mirrored
from src.motion.data import windows
from src.motion.data.formats import SUFFIXES, fairmotion, read_motion
from src.motion.data.formats.amass import is_shape
from src.motion.data.resample import resample
from src.motion.data.splits import read_splits, split_files

HELD_OUT = 8  # every eighth training clip validates
TEST_STRIDE = 60  # frames between the starts of windows, as for the corpus' reference numbers
Cut = Literal["every 60", "fairmotion", "motion-transformer"]


@dataclass(frozen=True)
class Corpus:
    """The clips of three splits at 60 Hz."""

    train: tuple[MotionClip, ...]  # to learn from
    valid: tuple[MotionClip, ...]  # to choose the best weights by
    test: tuple[MotionClip, ...]  # to report errors on
    cut: Cut = "every 60"  # how validation and test windows are cut

    @property
    def splits(self) -> dict[str, tuple[MotionClip, ...]]:
        return {"train": self.train, "valid": self.valid, "test": self.test}


def read_corpus(
    folder: Path, lists: Path | None = None, fps: float | None = None, cut: str = "every 60"
) -> Corpus:
    """Read every motion file of a folder.

    Args:
        folder: has splits of a kind listed above. fairmotion's prepared windows have 144 frames, so
            they need the cut "every 60".
        lists: folder of the published split lists; `folder` may then be any tree of files.
        fps: frame rate of files that do not state theirs.
        cut: how validation and test windows are cut, see `evaluation_windows`.

    Raises:
        InputError: no files, a missing split, too few files to validate by, a file that cannot be
            read, validation or test clips that are too short for a window, or an unknown cut.
    """
    check_choice("WINDOWS", cut, get_args(Cut))
    if fairmotion.is_prepared(folder):
        clips = {split: tuple(fairmotion.read_split(folder, split)) for split in fairmotion.FILES}
    else:
        if lists is None:
            files = _in_folders(folder)
        else:
            files = split_files(_files(folder), read_splits(lists))
        clips = {
            split: tuple(resample(read_motion(path, fps)) for path in paths)
            for split, paths in files.items()
        }
    needed = windows.LENGTH if cut == "every 60" else windows.SPAN
    for split in ("valid", "test"):  # before anything is computed from them
        longest = max(map(len, clips[split]), default=0)
        if longest < needed:
            rule = " (every eighth training clip, unless the data have a validation split)"
            raise InputError(
                f"{split}: expected a clip of {needed} frames ({needed / 60:.1f} s at 60 Hz), the "
                f"longest of {len(clips[split])} has {longest}; add longer ones to this split"
                f"{rule if split == 'valid' else ''}"
            )
    return Corpus(clips["train"], clips["valid"], clips["test"], cut)


def _in_folders(folder: Path) -> dict[str, list[Path]]:
    """The files of train/, test/ and valid/, or every eighth of train/ in place of valid/."""
    splits = ("train", "test", "valid") if (folder / "valid").is_dir() else ("train", "test")
    files = {split: _files(folder / split) for split in splits}
    for of_split in files.values():
        recordings: dict[Path, Path] = {}
        for path in of_split:
            first = recordings.setdefault(path.with_suffix(""), path)
            if first != path:
                raise InputError(
                    f"{path}: expected each recording in one format, found {first.name} beside it; "
                    "keep one of the two"
                )
    if "valid" in files:
        return files
    train = files["train"]
    if len(train) < HELD_OUT:
        raise InputError(
            f"{folder / 'train'}: expected at least {HELD_OUT} files, because every eighth one "
            f"validates, found {len(train)}; add more, or put some in a folder {folder / 'valid'}"
        )
    kept = [path for number, path in enumerate(train, 1) if number % HELD_OUT]
    return files | {"train": kept, "valid": train[HELD_OUT - 1 :: HELD_OUT]}


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected a folder of motion files, found no folder; a corpus has train/ "
            "and test/, or the published split lists in LISTS"
        )
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    # Hidden files are not motions: a Mac puts ._a.bvh beside a.bvh, a kill leaves half of one.
    shown = (path for path in found if path.is_file() and not path.name.startswith("."))
    files = sorted(path for path in shown if not is_shape(path))
    if not files:
        raise InputError(
            f"{folder}: expected motion files ({', '.join(SUFFIXES)}), found none; check DATA"
        )
    return files


def evaluation_windows(
    clips: Sequence[Tensor], cut: Cut, split: Literal["valid", "test"]
) -> Tensor:
    """The windows of clips (T, ...) that are scored: (B, 144, ...).

    "every 60": every window of 144 frames that starts at a multiple of 60, as for the corpus'
    reference numbers. The other two cuts are those of the code bases they name, see windows.py.
    """
    match cut, split:
        case "every 60", _:
            return windows.sliding(clips, TEST_STRIDE, windows.LENGTH)
        case "motion-transformer", "valid":
            return windows.centre(clips)
        case _:
            return windows.sliding(clips)


@dataclass(frozen=True)
class MotionData:
    """A corpus as one kind of network sees it, in windows of T = 144 frames (N = 24 forecast)."""

    space: PoseSpace  # leads back to rotations
    train: tuple[Float[Tensor, "_ J M"], ...]  # with the mirrored clips if they are trained on
    valid: Float[Tensor, "B1 T J M"]  # of the held-out clips
    test: Float[Tensor, "B2 T J M"]  # the windows that are scored
    test_clips: tuple[Float[Tensor, "_ J M"], ...]  # for long roll-outs
    test_truth: Float[Tensor, "B2 N 15 3 3"]  # rotations that forecasts are compared with
    valid_truth: Float[Tensor, "B1 N 15 3 3"]  # the same for validation


def prepare(
    corpus: Corpus,
    pose_format: PoseFormat,
    scaling: Scaling,
    mirror: bool = True,
    device: torch.device | str = "cpu",
    speeds: Sequence[float] = (),
) -> MotionData:
    """Encode, normalise and cut a corpus.

    Each of `speeds` adds every training clip, played that many times as fast; `mirror` then adds
    every mirror image. The scaling is measured before both, on whole clips if all are too short for
    a training window.
    """

    def encoded(clips: Iterable[MotionClip]) -> list[Tensor]:
        return [pose_format.encode(torch.from_numpy(clip.rotations)) for clip in clips]

    raw = {name: encoded(clips) for name, clips in corpus.splits.items()}
    inputs = windows.sliding(raw["train"], length=windows.SEED).flatten(0, 1)
    measured = inputs if scaling.over == "sources" and len(inputs) else torch.cat(raw["train"])
    normaliser = Normaliser.fit(measured, scaling)
    more = [resample(replace(c, fps=c.fps * speed)) for speed in speeds for c in corpus.train]
    if mirror:
        more += map(mirrored, (*corpus.train, *more))
    raw["train"] += encoded(more)
    seen = {name: [normaliser.normalise(c).to(device) for c in raw[name]] for name in raw}

    def truth(split: Literal["valid", "test"]) -> Tensor:
        rotations = [torch.from_numpy(clip.predicted) for clip in corpus.splits[split]]
        return evaluation_windows(rotations, corpus.cut, split)[:, windows.SEED :].to(device)

    return MotionData(
        PoseSpace(pose_format, normaliser.to(device)),
        tuple(seen["train"]),
        evaluation_windows(seen["valid"], corpus.cut, "valid"),
        evaluation_windows(seen["test"], corpus.cut, "test"),
        tuple(seen["test"]),
        truth("test"),
        truth("valid"),
    )
