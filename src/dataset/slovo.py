"""A folder in Slovo's format, turned into a competition folder once, clip by clip.

    annotations.csv     attachment_id, user_id, text, train; divided by tabs, commas or semicolons
    keypoints           in JSON, one file per clip or one for all clips, see slovo_keypoints.py

- The clips with `train` False are fold 0, and no other clip is ever tested on. Slovo splits its
  clips by signer, so nobody in fold 0 is trained on.

Source: github.com/hukenovs/slovo; recognition.md 4.
"""

from pathlib import Path

import pandas as pd

from src.common.errors import InputError
from src.common.files import digest, locked, stamp, write_atomically
from src.common.marks import DIGEST, Mark, digest_of, side_by_side
from src.common.news import counted
from src.common.paths import SIGN_MAP, SLOVO_INDEX
from src.dataset import slovo_keypoints as keypoints
from src.dataset.competition import SPLIT, clip_path, read_table, write_index
from src.dataset.sample.writer import write_clip

FORMAT = 1  # raise it when the same files give other clips
MARK = "slovo.json"  # its result: the source, and why clips were left out
COLUMNS = {  # annotations.csv's name -> ours
    "attachment_id": "sequence",
    "user_id": "participant",
    "text": "sign",
    SPLIT: SPLIT,
}


def as_competition(folder: Path, converted: Path, skip_broken: bool = False) -> Path:
    """The competition folder for a folder in either format: itself, or one made in `converted`.

    A folder in both formats is a competition folder. A finished conversion is not repeated; one
    that was stopped is continued. Broken clips, and clips without keypoints, are left out with
    `skip_broken`; otherwise they are errors.

    Raises:
        InputError: annotations.csv or a clip is not as described above.
    """
    is_competition = all((folder / name).is_file() for name in ("train.csv", SIGN_MAP))
    if is_competition or not (folder / SLOVO_INDEX).is_file():
        return folder
    index = read_table(folder / SLOVO_INDEX, COLUMNS, unique=("attachment_id",))
    source = keypoints.located(folder)
    files = [source] if source.is_file() else sorted(source.glob("*.json"))
    made_from = {
        "format": FORMAT,
        "annotations": DIGEST + digest(folder / SLOVO_INDEX),
        "keypoints": digest_of([(path.name, *stamp(path)) for path in files]),
        "skip_broken": skip_broken,
    }
    mark, others = side_by_side(converted, folder.name, made_from, MARK)
    target = mark.path.parent
    if not mark.is_finished:
        mark.tell_why_again(others)
        with locked(target, "converts these clips"):
            broken = _write_clips(folder, source, index, target, skip_broken)
            whole = index[~index.sequence.isin(list(broken))]
            if whole.empty:
                raise InputError(
                    f"{folder}: expected a clip that is not broken, found none; the first: "
                    f"{next(iter(broken.values()))}"
                )
            write_index(target, whole)
            mark.write({"source": str(folder), "skipped": list(broken.values())})
    return target


def skipped(folder: Path) -> list[str]:
    """Why `as_competition` left clips out, a reason per clip; empty for any other folder."""
    return (Mark(folder / MARK).result or {"skipped": []})["skipped"]


def _write_clips(
    folder: Path, source: Path, index: pd.DataFrame, target: Path, skip_broken: bool
) -> dict[str, str]:
    """Write every clip that is not there yet. Returns why clips cannot be written, by clip."""
    files = map(clip_path, index.participant, index.sequence)
    paths = {clip: target / file for clip, file in zip(index.sequence, files, strict=True)}
    broken = {sequence: f"{source}: no keypoints of {sequence}" for sequence in paths}
    clips = keypoints.read_frames(source, set(paths))
    for sequence, frames in counted(clips, "Slovo", "clips", len(paths)):
        broken.pop(sequence, None)
        if paths[sequence].is_file():
            continue
        try:
            xyz = keypoints.to_landmarks(frames, f"{source}: clip {sequence}")
        except InputError as error:
            if not skip_broken:
                raise InputError(
                    f"{error}. To go on without such clips, say so: SKIP_BROKEN=True"
                ) from error
            broken[sequence] = str(error)
        else:
            write_atomically(paths[sequence], lambda path, xyz=xyz: write_clip(path, xyz))
    if broken and not skip_broken:  # all lack keypoints: other faults were raised above
        some = ", ".join(sorted(broken)[:5])
        raise InputError(
            f"{source}: expected keypoints of each of the {len(index)} clips of "
            f"{folder / SLOVO_INDEX}, found none of {len(broken)}: {some}; add them, remove these "
            "lines, or say SKIP_BROKEN=True"
        )
    return broken
