"""The landmark store: what is in it, how it survives a kill, what it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow
import pytest

from src.common.errors import InputError
from src.common.paths import SIGN_MAP, root
from src.dataset import shards, store
from src.dataset.clip_file import read_clip
from src.dataset.folds import TRAIN_ONLY
from src.dataset.sample.writer import write_clip
from src.dataset.store import Store, build, extra_clips, missing_shares, oddities, skipped
from src.landmarks import HANDS, LIPS_40, N_LANDMARKS, NOSE_TIP, RIGHT_HAND

KEPT = tuple(sorted({NOSE_TIP, *LIPS_40, *HANDS}))
FILES = ("landmarks.npy", "clips.parquet", "manifest.json")


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal, NaN in the same places."""
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


def contents(opened: Store) -> dict[str, bytes]:
    return {name: (opened.folder / name).read_bytes() for name in FILES}


def parquet_files(folder: Path) -> list[Path]:
    """The clips in train.csv's order."""
    return [folder / path for path in pd.read_csv(folder / "train.csv").path]


def garble(path: Path) -> None:
    """Destroy a file's content but not its size."""
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.fixture(scope="module")
def built(competition, tmp_path_factory) -> Store:
    return build(competition, tmp_path_factory.mktemp("stores"), KEPT, workers=1)


# --- content ------------------------------------------------------------------------------------


def at_half_precision(path: Path) -> np.ndarray:
    """A clip as the store must have it, every landmark in its row."""
    whole = read_clip(path).astype(np.float16).astype(np.float32)
    whole[:, [row for row in range(N_LANDMARKS) if row not in KEPT]] = np.nan
    return whole


@pytest.mark.parametrize("name", ["", pytest.param("asl_signs", marks=pytest.mark.reference)])
def test_every_clip_is_what_its_file_says_at_half_precision(name, competition, reference, tmp_path):
    source = reference(name) if name else competition
    opened = build(source, tmp_path, KEPT, workers=1)
    for k, path in enumerate(parquet_files(source)):
        expected = at_half_precision(path)
        assert same(opened.clip(k), expected[:, KEPT]), path
        assert same(opened.whole_frames(k), expected), path
    assert len(opened) == len(parquet_files(source)) and not skipped(opened)
    assert isinstance(opened.frames, np.memmap) and not opened.frames.flags.writeable


def test_table_says_what_train_csv_says(built, competition):
    index = pd.read_csv(competition / "train.csv", dtype=str)
    told = index[["sequence_id", "participant_id", "sign"]].values.tolist()
    assert built.clips[["sequence", "participant", "sign"]].values.tolist() == told
    assert built.clips.label.tolist() == [built.signs[sign] for sign in index.sign]
    assert built.signs == json.loads((competition / SIGN_MAP).read_text())
    assert not built.clips.training_only.any()
    assert built.clips.groupby("participant").fold.nunique().eq(1).all()
    assert [built.index_of(sequence) for sequence in index.sequence_id] == [*range(len(index))]


def test_missing_shares_count_frames_without_a_part(built, competition):
    frames = np.concatenate([read_clip(path)[..., 0] for path in parquet_files(competition)])
    shares = missing_shares(built)
    assert list(shares) == ["face", "left_hand", "right_hand"]  # no pose landmark is kept
    assert shares["right_hand"] == pytest.approx(np.isnan(frames[:, RIGHT_HAND]).all(1).mean())
    assert 0 < shares["right_hand"] < 1


ODD = {  # what is done to some landmarks of a clip, and what is said about it
    "no hand": (HANDS, lambda xyz: np.nan, "hands are never detected in 4 of 4 clips"),
    "zeros": (
        RIGHT_HAND,
        np.nan_to_num,
        "right_hand is exactly 0 in [1-9] of 10 frames: a part that was not detected should be NaN",
    ),
    "minus one": (LIPS_40, lambda xyz: -1, "face is exactly -1 in 10 of 10 frames"),
    "pixels": (
        range(N_LANDMARKS),
        lambda xyz: 640 * xyz,
        r"coordinates up to 7\d\d, in 4 of 4 clips: expected image units, 0 to 1 in the picture",
    ),
}


@pytest.mark.parametrize(("landmarks", "change", "said"), ODD.values(), ids=ODD)
def test_what_no_detector_gives_is_told(make_competition, tmp_path, landmarks, change, said):
    folder = make_competition(lengths=(1, 4, 3, 2))
    for path in parquet_files(folder):
        xyz = read_clip(path)
        xyz[:, list(landmarks)] = change(xyz[:, list(landmarks)])
        write_clip(path, xyz)
    (line,) = oddities(build(folder, tmp_path, (*LIPS_40, *HANDS), workers=1))
    assert re.match(said, line)


@pytest.mark.parametrize(
    "name",
    ["", *(pytest.param(n, marks=pytest.mark.reference) for n in ("asl_signs", "wlasl50"))],
)
def test_genuine_and_synthetic_clips_are_not_odd(name, sample, reference, tmp_path):
    source = reference(name) if name else sample
    assert oddities(build(source, tmp_path, KEPT, workers=1)) == []


# --- building -----------------------------------------------------------------------------------


def test_two_workers_write_the_same_bytes_as_one(built, competition, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 5)
    assert contents(build(competition, tmp_path, KEPT, workers=2)) == contents(built)


def test_a_worker_starts_without_torch():
    asked = "import sys, src.dataset.shards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], cwd=root()).returncode == 0


def test_a_worker_is_started_for_every_core_if_there_are_shards_enough(
    competition, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 1)  # 12 shards
    monkeypatch.setattr(shards.os, "cpu_count", lambda: 3)
    in_processes, asked = shards._in_processes, []
    monkeypatch.setattr(
        shards, "_in_processes", lambda tasks, n: asked.append(n) or in_processes(tasks, 1)
    )
    for shards_per_worker in (4, 5, 1000):
        monkeypatch.setattr(shards, "SHARDS_PER_WORKER", shards_per_worker)
        build(competition, tmp_path / f"{shards_per_worker}", KEPT)
    assert asked == [3, 2, 0]


def test_a_finished_store_is_opened_not_built(built, competition, capsys):
    before = {name: (built.folder / name).stat().st_mtime_ns for name in FILES}
    again = build(competition, built.folder.parent, KEPT, workers=1)
    assert again.folder == built.folder
    assert {path.name for path in again.folder.iterdir()} == {".lock", *FILES}
    assert {name: (again.folder / name).stat().st_mtime_ns for name in FILES} == before
    assert capsys.readouterr().out == ""


def test_another_folder_of_the_same_name_is_no_earlier_version(make_competition, tmp_path, capsys):
    """Nothing has changed: these are other clips."""
    first, second = make_competition("a", (3, 2)), make_competition("b", (2, 2))
    moved = [shutil.copytree(path, tmp_path / path.name / "clips") for path in (first, second)]
    one, other = (build(folder, tmp_path / "stores", KEPT, workers=1) for folder in moved)
    assert one.folder != other.folder and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "change", ["landmarks", "skip_broken", "label", "name", "unused", "clip", "format"]
)
def test_other_choices_or_other_clips_are_another_store(
    make_competition, tmp_path, monkeypatch, capsys, change
):
    folder = make_competition(lengths=(3, 2, 2, 2))
    first = build(folder, tmp_path / "stores", KEPT, workers=1)
    assert capsys.readouterr().out == ""
    landmarks, skip_broken, said = KEPT, False, "clips changed"
    if change == "landmarks":
        landmarks, said = KEPT[1:], "landmarks changed"
    elif change == "skip_broken":
        skip_broken, said = True, "skip_broken false -> true"
    elif change == "label":
        (folder / SIGN_MAP).write_text('{"cloud": 0, "bird": 1, "apple": 2}')
        said = "clips changed, signs changed"
    elif change == "name":
        for path in (folder / SIGN_MAP, folder / "train.csv"):
            path.write_text(path.read_text().replace("apple", "pear"))
        said = "signs changed"
    elif change == "unused":  # a sign more, of which there is no clip yet
        (folder / SIGN_MAP).write_text('{"apple": 0, "bird": 1, "cloud": 2, "dog": 3}')
        said = "signs changed"
    elif change == "clip":  # of the same name and length, under the same train.csv
        write_clip(path := parquet_files(folder)[0], 1 - read_clip(path))
    elif change == "format":
        monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
        said = f"format {store.FORMAT - 1} -> {store.FORMAT}"
    second, again = (
        build(folder, tmp_path / "stores", landmarks, workers=1, skip_broken=skip_broken)
        for _ in "ab"
    )
    assert second.folder == again.folder != first.folder
    assert second.signs == json.loads((folder / SIGN_MAP).read_text())
    assert second.clips.sign.tolist() == pd.read_csv(folder / "train.csv").sign.tolist()
    changed = [k for k in range(4) if not same(first.clip(k), second.clip(k))]
    assert changed == {"clip": [0], "landmarks": [0, 1, 2, 3]}.get(change, [])
    if change == "format":
        with pytest.raises(InputError, match=f"a finished store of format {store.FORMAT}"):
            Store.open(first.folder)
    line = f"{second.folder}: made again because of changes: {said}\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(("stops", "call", "marks"), [("read_clip", 7, 3), ("join", 0, 6)])
def test_a_stopped_build_goes_on_where_it_was(
    make_competition, tmp_path, monkeypatch, stops, call, marks
):
    """kill -9 at any moment: tests/faults."""
    folder, usual, calls = make_competition(), getattr(shards, stops), iter(range(call))
    whole = contents(build(folder, tmp_path / "unbroken", KEPT, workers=1))

    def stopping(*given):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return usual(*given)

    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 2)
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(shards, stops, stopping)
        build(folder, tmp_path / "stores", KEPT, workers=1)
    (unfinished,) = (tmp_path / "stores").iterdir()
    assert len(list((unfinished / "shards").glob("*.json"))) == marks
    with pytest.raises(InputError, match=r"manifest\.json.*finished.*run preparation again"):
        Store.open(unfinished)
    for path in parquet_files(folder)[: 2 * marks]:  # if it read these again, it would say so
        before = path.stat()
        garble(path)  # so that neither its size nor its time tells
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert contents(build(folder, tmp_path / "stores", KEPT, workers=1)) == whole


BUILD_WITH_WORKERS = """
import sys
from pathlib import Path
from src.dataset import shards, store

shards.CLIPS_PER_SHARD = 1
store.build(Path(sys.argv[1]), Path(sys.argv[2]), range(543), workers=2)
"""


def test_a_killed_build_leaves_no_workers_behind(make_competition, tmp_path):
    arguments = [make_competition(lengths=(30,) * 30), tmp_path / "stores"]
    words = [sys.executable, "-c", BUILD_WITH_WORKERS, *map(str, arguments)]
    builder = psutil.Popen(words, cwd=root(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("stores/*/shards/*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    workers = builder.children()
    builder.kill()
    builder.wait()
    assert len(workers) >= 2
    assert psutil.wait_procs(workers, timeout=60)[1] == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_clip_stops_the_build_and_is_named(make_competition, tmp_path, workers):
    folder = make_competition()
    broken = parquet_files(folder)[9]
    garble(broken)
    with pytest.raises(InputError, match=rf"{broken.name}.*SKIP_BROKEN=True"):
        build(folder, tmp_path / "stores", KEPT, workers=workers)


def test_skip_broken_leaves_them_out_and_lists_them(make_competition, tmp_path):
    folder = make_competition()
    files = parquet_files(folder)
    garble(files[0])
    garble(files[9])
    opened = build(folder, tmp_path / "stores", KEPT, workers=1, skip_broken=True)
    good = [path for k, path in enumerate(files) if k not in (0, 9)]
    assert opened.clips.sequence.tolist() == [path.stem for path in good]
    assert all(same(opened.whole_frames(k), at_half_precision(path)) for k, path in enumerate(good))
    first, second = skipped(opened)
    assert str(files[0]) in first and str(files[9]) in second

    for path in good:
        garble(path)
    with pytest.raises(InputError, match="no clip is whole"):
        build(folder, tmp_path / "other stores", KEPT, workers=1, skip_broken=True)


def test_memory_does_not_grow_with_the_number_of_clips(make_competition, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 4)
    peaks = []
    for n_clips in (8, 8, 48):  # the first build pays for what is loaded once
        folder = make_competition(f"{len(peaks)}", lengths=(20,) * n_clips)
        arrow = pyarrow.total_allocated_bytes()
        tracemalloc.start()
        build(folder, tmp_path / "stores", range(N_LANDMARKS), workers=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert pyarrow.total_allocated_bytes() <= arrow + 100_000
    one_clip = 20 * N_LANDMARKS * 3 * 4
    assert peaks[2] - peaks[1] < 2 * one_clip  # 40 more clips: tables and progress, no frames


def test_extra_data_only_trains(make_competition, tmp_path, capsys):
    main = make_competition("main", lengths=(3, 4, 2, 5))
    extra = make_competition(
        "extra", (2, 3, 4, 5), participants=("7", "new"), signs=("bird", "dog")
    )
    opened = build(main, tmp_path / "stores", KEPT, extra=(extra,), workers=1)
    alone = build(main, tmp_path / "stores", KEPT, workers=1)
    clips = opened.clips
    added = clips[clips.training_only]
    # Signs that the competition does not have are left out, and named.
    said = f"2 of 4 clips of {extra} left out, because their signs are not in the map of {main}: "
    assert capsys.readouterr().out.startswith(said + "'dog'\n")
    assert added.sign.tolist() == ["bird", "bird"]
    assert added.label.tolist() == [opened.signs["bird"]] * 2
    assert opened.signs == alone.signs
    assert (extra_clips(opened), extra_clips(alone)) == (2, 0)
    # The extra folder's participant 7 is not the competition's, nor is its first sequence.
    assert added.participant.tolist() == ["extra/7", "extra/new"]
    assert clips.sequence.is_unique
    assert (added.fold == TRAIN_ONLY).all()
    # The competition's own clips are where they would be without.
    pd.testing.assert_frame_equal(clips[~clips.training_only], alone.clips)
    assert same(np.asarray(opened.frames[: len(alone.frames)]), np.asarray(alone.frames))


def test_an_extra_folder_that_shares_no_sign_is_refused(make_competition, tmp_path):
    main = make_competition("main", lengths=(3, 4, 2, 5))
    extra = make_competition("extra", (2, 3), participants=("7",), signs=[*"UV"])
    with pytest.raises(InputError, match=rf"none in {extra}, but of 'U', 'V'; spell"):
        build(main, tmp_path / "stores", KEPT, extra=(extra,), workers=1)


def test_a_participant_may_bear_an_extra_folders_name(make_competition, tmp_path):
    main = make_competition("main", lengths=(3, 4, 2, 5), participants=("anna", "ben"))
    extra = make_competition("anna", (2, 3), participants=("anna",), signs=("bird", "cloud"))
    assert extra_clips(build(main, tmp_path / "stores", KEPT, extra=(extra,), workers=1)) == 2


@pytest.mark.parametrize("names", [["main"], ["link to main"], ["more", "link to more"]])
def test_clips_that_come_in_two_folders_are_refused(make_competition, tmp_path, names):
    """The extra folder's clips are for training; no clip may be there that is held out."""
    for name in ("main", "more"):
        (tmp_path / f"link to {name}").symlink_to(make_competition(name, lengths=(3, 2, 2, 2)))
    main, *extra = (tmp_path / name for name in ["main", *names])
    with pytest.raises(InputError, match=r"EXTRA_DATA: .*found 4 that are.*parquet; name each"):
        build(main, tmp_path / "stores", KEPT, extra, workers=1)


# --- refusals of Store.open ---------------------------------------------------------------------


DAMAGE = {  # besides what tests/fuzz/test_store.py finds
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 4),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_store_that_is_not_whole_is_refused(make_competition, tmp_path, file, damage):
    own = build(make_competition(lengths=(3, 2)), tmp_path / "stores", KEPT, workers=1).folder
    damage(own / file)
    with pytest.raises(InputError, match=rf"{file}: .*run preparation again"):
        Store.open(own)
