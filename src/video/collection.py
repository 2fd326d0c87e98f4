"""A collection of videos as a competition folder, ready for notebook 01.

    <to>/
        train.csv, sign_to_prediction_index_map.json, train_landmark_files/<signer>/<number>.parquet
        report.md        clips and signers per sign, and what to look at
        videos.json      whether the videos were read as mirrored; written first, as the sign that
                         this folder was made here
        doubtful/        pictures of clips in which a hand is hardly ever seen; where there is no
                         video to take them from, the landmarks on black

- A clip's file notes its video's size and time, and `mirrored`; a clip is made again if they have
  changed. A clip newer than its video could still be made from another one, since moved away.
- A clip recorded by the live page has no video in the collection. Its number is the time of
  recording, which is larger than any video's number, and `make` keeps it in the tables.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from itertools import compress
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from src.clips import RawClip
from src.common.environments import Unavailable
from src.common.errors import InputError
from src.common.files import locked, stamp, write_atomically, write_text
from src.common.markdown import as_markdown
from src.common.marks import Mark
from src.common.news import counted
from src.dataset.clip_file import note_of, read_clip
from src.dataset.competition import INDEX_COLUMNS, clip_path, texts, write_index
from src.dataset.sample.writer import write_clip
from src.landmarks import HANDS
from src.video.overlay import drawn
from src.video.process import MediaPipe
from src.video.videos import Video, check_spellings, files, find, tell_others

RECORDED = 2**48  # recorded clips have numbers from here on, videos lower ones
FEW = 0.2  # a clip with a hand in a smaller share of its frames is doubtful
BLANK_WIDTH = 360  # of the black picture for a clip without a video; 4:3 like the live page


def make(source: Path, to: Path, mirrored: bool, workers: int = 0) -> Path:
    """What `make_readable` does, for callers who need only the report."""
    return make_readable(source, to, mirrored, workers)[0]


def make_readable(
    source: Path, to: Path, mirrored: bool, workers: int = 0
) -> tuple[Path, list[InputError]]:
    """Write the competition folder `to`. Clips that it has are kept.

    Returns its report, and why videos could not be read, for each of those.

    `mirrored`: the videos are selfie views, as in a mirror; `workers`: processes, 0 = one per core.

    Raises:
        InputError: see `find` and `check_spellings`; or no video can be read, `to` holds `source`
            or was not made here, or another process holds it.
    """
    if workers < 0:
        raise InputError(f"workers: expected 1 or more, or 0 for one per core; found {workers}")
    if source.resolve().is_relative_to(to.resolve()):
        raise InputError(
            f"{to}: expected a folder apart from the videos, found one that holds {source}; name "
            "a new folder"
        )
    videos = find(source)
    tell_others(source)
    _ours(to)  # before `locked` writes its file there
    with locked(to, "makes a competition folder of videos"):
        # Videos that are no longer there leave the tables; recorded clips stay.
        listed = _ours(to)
        numbers = {video.number for video in videos}
        others = [video for video in listed if video.number not in numbers]
        stay = [video for video in others if _is_recorded(video.path) and video.path.is_file()]
        gone = [video for video in others if video not in stay]
        check_spellings(to, [*videos, *stay])
        # The mark comes first, so that the folder is known as ours after a kill, too.
        mark = Mark(to / "videos.json", {"mirrored": mirrored})
        mark.tell_why_again([mark.path])
        mark.write()
        # A clip is kept if its note says that it was made of this very video.
        notes = {video: json.dumps([*stamp(video.path), mirrored]) for video in videos}
        missing = {video: note for video, note in notes.items() if note_of(to / video.clip) != note}
        workers = min(workers or os.cpu_count() or 1, len(missing))
        failed = _make_clips(missing, to, mirrored, workers) if missing else {}
        made = [video for video in videos if video not in failed]
        if not made:
            raise InputError(f"{source}: not one video can be read; {next(iter(failed.values()))}")
        made += stay
        _write_tables(made, to)
        report = write_text(to / "report.md", _report(made, failed, gone, to))
        return report, [*failed.values()]


def add(xyz: RawClip, signer: str, sign: str, to: Path) -> Path:
    """Add a recorded clip to a competition folder, which is made if it is not there.

    `signer` and `sign` are plain names. Returns the clip's file.

    Raises:
        InputError: the folder was not made by `make` or here, or another process holds it; a name
            is already there in other capitals.
    """
    _ours(to)  # before `locked` writes its file there
    with locked(to, "adds a recorded clip"):
        listed = _ours(to)
        number = str(time.time_ns())
        video = Video(to / clip_path(signer, number), signer, sign, number)
        check_spellings(to, [*listed, video])
        write_atomically(video.path, lambda path: write_clip(path, xyz))
        _write_tables([*listed, video], to)
        return video.path


def _ours(to: Path) -> list[Video]:
    """The clips of a folder; [] without a train.csv. As its video each has the clip's own file.

    Raises:
        InputError: the folder has files and was not made here; its tables and its report would be
            lost and its signs renumbered.
    """
    listed = _listed(to / "train.csv") if (to / "train.csv").is_file() else []
    # The live page's first clip has no table yet if the page was ended just then.
    clips = [video.path for video in listed] or files(to)
    if "mirrored" not in Mark(to / "videos.json").made_from_then and not all(
        map(_is_recorded, clips)
    ):
        raise InputError(
            f"{to}: expected an empty folder, or one that `python -m src.video dataset` or the "
            "live page made, found another one; name a new folder"
        )
    return listed


def _listed(path: Path) -> list[Video]:
    table = texts(path)
    if [*table] != [*INDEX_COLUMNS]:
        raise InputError(
            f"{path}: expected the columns {', '.join(INDEX_COLUMNS)}, found {', '.join(table)}; "
            "name a new folder"
        )
    rows = table.values
    return [Video(path.parent / clip, signer, sign, number) for clip, signer, number, sign in rows]


def _is_recorded(path: Path) -> bool:
    is_clip = path.suffix == ".parquet" and path.stem.isdecimal()
    return is_clip and int(path.stem) >= RECORDED


def _make_clips(
    videos: Mapping[Video, str], to: Path, mirrored: bool, workers: int
) -> dict[Video, InputError]:
    """Make clips with these notes, several at a time; returns the errors of those that failed."""
    failed: dict[Video, InputError] = {}
    with ThreadPoolExecutor(workers) as pool, ExitStack() as stack:
        # Each thread waits for one process with mediapipe; any process takes any video.
        idle: SimpleQueue[MediaPipe] = SimpleQueue()
        for _ in range(workers):
            idle.put(stack.enter_context(closing(MediaPipe())))
        # On Ctrl-C no video is begun and the processes end, so that no thread waits for them.
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        results = pool.map(partial(_make_clip, idle, to, mirrored), videos, videos.values())
        told = counted(results, "landmarks", "videos", len(videos))
        for video, error in zip(videos, told, strict=True):
            if error:
                failed[video] = error
                print(f"error: {error}", flush=True)
    return failed


def _make_clip(
    idle: SimpleQueue[MediaPipe], to: Path, mirrored: bool, video: Video, note: str
) -> InputError | None:
    mediapipe = idle.get()
    try:
        recording = mediapipe.recording(str(video.path), mirrored)
    except Unavailable:  # no other video would fare better
        raise
    except InputError as error:
        return error
    finally:
        idle.put(mediapipe)
    write_atomically(to / video.clip, lambda path: write_clip(path, recording.xyz, note=note))
    if _share_with_a_hand(recording.xyz) < FEW:
        _save_pictures(recording.xyz, recording.pictures, to / video.picture)
    return None


def _save_pictures(
    xyz: RawClip, pictures: UInt8[np.ndarray, "T height width 3"], path: Path
) -> None:
    """Save the first, middle and last frame of a clip, with their landmarks."""
    chosen = (0, len(xyz) // 2, len(xyz) - 1)
    shown = np.concatenate([np.asarray(drawn(pictures[t], xyz[t])) for t in chosen], 1)
    write_atomically(path, lambda temporary: Image.fromarray(shown).save(temporary, "PNG"))


def _write_tables(videos: Sequence[Video], to: Path) -> None:
    ours = {"signer": "participant", "number": "sequence"}
    write_index(to, pd.DataFrame(videos).rename(columns=ours))


# --- report -------------------------------------------------------------------------------------


def _share_with_a_hand(xyz: RawClip) -> float:
    return float(np.isfinite(xyz[:, HANDS, 0]).any(1).mean())


def _report(
    videos: Sequence[Video], failed: dict[Video, InputError], gone: Sequence[Video], to: Path
) -> str:
    """Clips and signers per sign, what is doubtful, and what could not be read."""
    clips = [read_clip(to / video.clip) for video in videos]
    table = pd.DataFrame(videos).assign(
        frames=[*map(len, clips)], hand=[*map(_share_with_a_hand, clips)]
    )
    columns = {
        "clips": ("path", "size"),
        "signers": ("signer", "nunique"),
        "median frames": ("frames", "median"),
        "frames with a hand": ("hand", "mean"),
    }
    per_sign = table.groupby("sign").agg(**columns)
    doubtful = table.hand < FEW
    _draw_doubtful(dict(compress(zip(videos, clips, strict=True), doubtful)), to)
    lines = [
        f"# {len(table)} clips of {len(per_sign)} signs by {table.signer.nunique()} signers",
        as_markdown(per_sign.round(2).map("{:g}".format)),  # counts without a decimal point
        *_section("A hand in hardly any frame; pictures are in doubtful/", table.path[doubtful]),
        *_section("Could not be read", failed.values()),
        *_section(
            "Gone since the last time: videos, or recorded clips",
            [f"{video.sign} by {video.signer}: {video.path}" for video in gone],
        ),
    ]
    text = "\n\n".join(lines) + "\n"
    return text.encode(errors="backslashreplace").decode()  # a file's name may be invalid text


def _draw_doubtful(clips: dict[Video, RawClip], to: Path) -> None:
    """Draw doubtful clips that have no picture; delete the pictures of clips no longer doubtful.

    The live page makes no such pictures.
    """
    pictures = {to / video.picture: clip for video, clip in clips.items()}
    for path in (to / "doubtful").glob("*-*-*.png"):
        if path not in pictures:
            path.unlink()
    for path, clip in pictures.items():
        if not path.is_file():
            black = np.zeros((3 * BLANK_WIDTH // 4, BLANK_WIDTH, 3), np.uint8)
            _save_pictures(clip, np.broadcast_to(black, (len(clip), *black.shape)), path)


def _section(title: str, items: Iterable[object]) -> list[str]:
    listed = [f"- {item}" for item in items]
    return [f"## {title}", "\n".join(listed)] if listed else []
