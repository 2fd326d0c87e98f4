"""A collection of videos becomes a competition folder; mediapipe is replaced by a drawn answer."""

import os
import shutil
import signal
import threading
import time
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from src.common.environments import Unavailable
from src.common.errors import InputError
from src.dataset import competition
from src.dataset.clip_file import read_clip
from src.landmarks import LEFT_HAND, LEFT_SHOULDER, POSE, RIGHT_SHOULDER, undetected
from src.video import __main__ as command
from src.video import collection
from src.video.recording import Recording
from src.video.videos import find

ASKED: list[tuple[str, bool]] = []  # videos, and whether as mirrored


@pytest.fixture(autouse=True)
def drawn_answers(monkeypatch):
    """Coordinates are the file's size. A video of one byte is broken, one of two has no hand."""

    def recording(source: str, mirrored: bool) -> Recording:
        ASKED.append((source, mirrored))
        size = Path(source).stat().st_size
        if size == 1:
            raise InputError(f"{source}: expected a video, found something else")
        xyz = undetected(3)
        xyz[:, POSE[0]] = size
        if size > 2:
            xyz[:, LEFT_HAND] = size
        return Recording(xyz, np.zeros((3, 20, 30, 3), np.uint8), 30.0)

    ASKED.clear()
    process = SimpleNamespace(recording=recording, close=lambda: None)
    monkeypatch.setattr(collection, "MediaPipe", lambda: process)


def write(folder: Path, *places: str, size: int = 5) -> Path:
    for place in places:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return folder


@pytest.fixture
def source(tmp_path) -> Path:
    """A folder with a video of each of two signers and signs."""
    return write(tmp_path / "videos", "ann/hi/1.mp4", "bob/bye/1.mp4")


@pytest.fixture
def to(tmp_path) -> Path:
    return tmp_path / "mine"


def kept(to: Path) -> list[tuple[str, str]]:
    """The signer and the sign of each clip."""
    return sorted(competition.read_index(to)[["participant", "sign"]].itertuples(False, None))


@pytest.mark.parametrize(
    "places",
    [
        ("ann/hi/1.mp4", "ann/bye/1.mov", "bob/hi/1.3gp"),
        ("hi/ann_1.WMV", "bye/ann_1.mpg", "hi/bob_2.MTS"),
    ],
)
def test_both_layouts_become_a_folder_that_notebook_01_reads(tmp_path, to, places):
    source = write(tmp_path / "videos", *places)
    report = collection.make(source, to, mirrored=False, workers=2)
    assert kept(to) == [("ann", "bye"), ("ann", "hi"), ("bob", "hi")]
    assert competition.read_signs(to) == {"bye": 0, "hi": 1}
    assert (read_clip(competition.read_index(to).path[0])[:, LEFT_HAND] == 5).all()
    assert report.read_text().startswith("# 3 clips of 2 signs by 2 signers")
    rows = [row.replace(" ", "") for row in report.read_text().splitlines()]
    assert {"|bye|1|1|3|1|", "|hi|2|2|3|1|"} < {*rows}


def test_signs_keep_their_names_in_the_report(tmp_path, to):
    write(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "list.csv").write_text("path,signer,sign\na.mp4,ann,007\nb.mp4,ann,1e5\n")
    report = collection.make(tmp_path / "list.csv", to, False).read_text()
    assert "| 007 " in report and "| 1e5 " in report
    assert kept(to) == [("ann", "007"), ("ann", "1e5")]
    (tmp_path / "list.csv").write_text("path,signer,sign\na.mp4,ann,a|b\nb.mp4,ann,hi\n")
    other = collection.make(tmp_path / "list.csv", tmp_path / "other", False).read_text()
    assert r"| a\|b " in other


def test_a_csv_may_come_from_a_spreadsheet_on_windows(tmp_path, to):
    """Of half of Europe they write semicolons."""
    write(tmp_path, "deep/a.mp4", "b.mp4")
    text = "path;signer;sign;note\r\ndeep\\a.mp4;ann;nan;\r\nb.mp4;007;bye;\r\n"
    (tmp_path / "list.csv").write_text(text, encoding="utf-8-sig")
    collection.make(tmp_path / "list.csv", to, False)
    assert kept(to) == [("007", "bye"), ("ann", "nan")]


def test_only_new_and_changed_videos_are_read_again_and_numbers_stay(source, to):
    collection.make(source, to, False)
    before = competition.read_index(to).set_index("path").sequence.to_dict()
    ASKED.clear()
    write(source, "ann/hi/0.mp4")
    later = (source / "bob/bye/1.mp4").stat().st_mtime + 10
    os.utime(source / "bob/bye/1.mp4", (later, later))
    collection.make(source, to, False)
    assert sorted(Path(path).name for path, _ in ASKED) == ["0.mp4", "1.mp4"]
    after = competition.read_index(to).set_index("path").sequence.to_dict()
    assert before.items() < after.items() and len(after) == 3


def test_a_clip_follows_its_video_though_the_file_is_older_than_the_clip(source, to):
    """As a take of the same day has, and a video that was moved: moving leaves a file's time."""
    write(source, "ann/bye/1.mp4", size=7)
    write(source.parent, "another_take.mp4", size=9)
    collection.make(source, to, False)
    (source / "ann/hi").rename(source / "ann/x")
    (source / "ann/bye").rename(source / "ann/hi")
    (source / "ann/x").rename(source / "ann/bye")
    (source.parent / "another_take.mp4").rename(source / "bob/bye/1.mp4")
    collection.make(source, to, False)
    index = competition.read_index(to)
    found = {
        (row.participant, row.sign): read_clip(row.path)[0, LEFT_HAND[0], 0]
        for row in index.itertuples()
    }
    assert found == {("ann", "hi"): 7, ("ann", "bye"): 5, ("bob", "bye"): 9}


def test_a_damaged_clip_is_made_again(source, to):
    collection.make(source, to, False)
    path = Path(competition.read_index(to).path[0])
    path.write_bytes(path.read_bytes()[:100])
    ASKED.clear()
    collection.make(source, to, False)
    assert len(ASKED) == 1 and len(read_clip(path)) == 3


@pytest.mark.parametrize(
    ("source", "place", "text", "message"),
    [
        ("", "hi.mp4", "", "hi.mp4: expected a video as <signer>"),
        ("", "a/b/c/d.mp4", "", "d.mp4: expected a video as <signer>"),
        ("", "hi/1.mp4", "", "1.mp4: expected a video as <signer>"),
        ("", "notes/hi/1.txt", "", "expected videos as"),
        ("a.csv", "a.csv", "path,who\na,b\n", "columns path, signer, sign"),
        ("a.csv", "a.csv", "path,signer,sign\na.mp4,b,c\nb.mp4,b,c\n", "none for 2, .*a.mp4"),
        ("a.csv", "a.csv", "path,signer,sign\na.csv,b,c\n.\\a.csv,b,d\n", "found .*a.csv 2 times"),
        ("a.csv", "a.csv", "path,signer,sign\na.csv,../up,hi\n", "expected the name of a signer"),
        ("a.csv", "a.csv", "path,signer,sign\na.csv,..,hi\n", "expected the name of a signer"),
        ("a.csv", "a.csv", "path,signer,sign\na.csv,ann,a\tb\n", "expected the name of a sign"),
        ("a.csv", "a.csv", "path,signer,sign\na.csv,b,c\na.csv,b,d\n", "a.csv' more often; rem"),
        ("hi.MP4", "hi.MP4", "", "found one video; name a folder with videos as"),
        ("none", "a.csv", "", "expected a folder of videos or a csv file"),
    ],
)
def test_other_places_and_tables_are_refused(tmp_path, source, place, text, message):
    (write(tmp_path, place) / place).write_text(text)
    with pytest.raises(InputError, match=message):
        find(tmp_path / source)


def test_files_that_end_like_no_video_are_said(source, to, capsys):
    write(source, "ann/hi/2", "ann/hi/3.mp5", "notes.txt", "ann/4.mp5", ".DS_Store")
    collection.make(source, to, False)
    assert ": .mp5 (2), .txt (1), no ending (1)\n" in capsys.readouterr().out


def test_hidden_files_are_no_videos_and_folders_may_be_links(tmp_path):
    """A Mac writes ._1.mp4 beside 1.mp4; a system's own folders begin with a dot."""
    source = write(tmp_path / "videos", "ann/hi/1.MP4", "ann/hi/._1.MP4", ".trash/hi/1.mp4")
    write(source, ".thumbnails/x_1.mp4", "ann/.cache/1.mp4")
    write(tmp_path / "elsewhere", "bob/bye/1.mp4", "waves/1.mp4")
    (source / "bob").symlink_to(tmp_path / "elsewhere/bob")
    (source / "ann/wave").symlink_to(tmp_path / "elsewhere/waves")
    (source / "ann/hi/round").symlink_to(source)  # in a circle
    found = [(video.signer, video.sign) for video in find(source)]
    assert found == [("ann", "hi"), ("ann", "wave"), ("bob", "bye")]


def test_a_name_in_two_spellings_is_one(tmp_path, to):
    """A Mac's disk spells an accent as a sign of its own, and spaces around a name are not seen."""
    apart, whole = (unicodedata.normalize(form, "Zoë") for form in ("NFD", "NFC"))
    source = write(tmp_path / "videos", f"{apart}/hi/1.mp4", f"{whole}/ hi/1.mp4", "ann/no/1.mp4")
    collection.make(source, to, False)
    assert kept(to) == [(whole, "hi"), (whole, "hi"), ("ann", "no")]


def test_a_name_in_other_capitals_is_no_second_sign_and_no_second_signer(source, to):
    """A phone's keyboard begins with a capital; and there are disks to which both are one."""
    collection.make(write(source, "bob/hi/1.mp4"), to, False)
    for signer, sign, what in (("ann", "Hi", "sign"), ("Ann", "hi", "signer")):
        with pytest.raises(InputError, match=rf"mine: expected each {what} in one spelling, .*nam"):
            collection.add(undetected(2), signer, sign, to)
    collection.add(undetected(2), "cy", "zoo", to)
    before = kept(to)
    with pytest.raises(InputError, match="each sign in one spelling, found 'Zoo' and 'zoo'"):
        collection.make(write(source, "ann/Zoo/1.mp4"), to, False)
    assert kept(to) == before


def test_broken_videos_are_left_out_and_listed_whose_names_need_not_be_text(source, to, capsys):
    """Old archives have names in the bytes of their day; a sign's must be text."""
    old = os.fsdecode(b"\xfc")
    write(source, f"ann/hi/{old}.mp4", size=1)
    write(source, f"ann/hi/{old}{old}.mp4", size=2)
    report = collection.make(source, to, False).read_text()
    assert "\\udcfc.mp4: expected a video" in report and "\\udcfc\\udcfc.mp4" in report
    assert "\\udcfc.mp4" in capsys.readouterr().out and len(kept(to)) == 3
    write(source, f"ann/{old}/1.mp4")
    with pytest.raises(InputError, match="expected the name of a sign"):
        find(source)


def test_videos_that_are_mirrored_after_all_are_read_again(source, to, capsys):
    for mirrored, read in ((False, 2), (True, 2), (True, 0), (False, 2)):
        ASKED.clear()
        collection.make(source, to, mirrored)
        assert [asked for _, asked in ASKED] == [mirrored] * read
    assert "changes: mirrored true -> false" in capsys.readouterr().out


def test_ctrl_c_stops_at_once_and_begins_no_other_video(source, to, monkeypatch):
    write(source, *(f"ann/hi/{number}.mp4" for number in range(5)))
    ended, begun = threading.Event(), []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started with &, Python ignores it

    def recording(video: str, mirrored: bool) -> Recording:
        begun.append(video)
        time.sleep(0.2)  # until all videos are handed out
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        is_ended = ended.wait(10)  # as the process with mediapipe takes minutes for a long video
        raise Unavailable("it was closed" if is_ended else "nobody has closed it")

    process = SimpleNamespace(recording=recording, close=ended.set)
    monkeypatch.setattr(collection, "MediaPipe", lambda: process)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        collection.make(source, to, False, workers=1)
    assert time.monotonic() - started < 5 and len(begun) == 1
    assert not [*to.rglob("*.parquet*")] and not (to / "train.csv").exists()


def test_fewer_processes_than_none_are_refused(source, to):
    with pytest.raises(InputError, match=r"workers: expected 1 or more, .*found -1"):
        collection.make(source, to, False, workers=-1)


def test_if_nothing_can_be_read_no_folder_is_half_written(tmp_path, to):
    source = write(tmp_path / "videos", "ann/hi/1.mp4", size=1)
    with pytest.raises(InputError, match=r"not one video can be read; .*1\.mp4: expected a video"):
        collection.make(source, to, False)
    assert not (to / "train.csv").exists()


def test_if_a_video_cannot_be_read_the_command_says_so_when_it_has_written_the_others(source, to):
    write(source, "ann/hi/broken.mp4", size=1)
    assert command.dataset(str(source), str(to)) == 1
    assert kept(to) == [("ann", "hi"), ("bob", "bye")]
    (source / "ann/hi/broken.mp4").unlink()
    assert command.dataset(str(source), str(to)) == 0


def test_a_recorded_clip_is_added_and_stays_when_videos_are_read_again(source, to):
    xyz = undetected(4)
    xyz[:, POSE] = 0.25
    collection.add(xyz, "ann", "again", to)  # a folder is made of nothing but recorded clips
    collection.add(xyz, "cy", "zoo", to)
    collection.make(source, to, False)
    path = collection.add(xyz, "cy", "hi", to)
    collection.make(source, to, False)
    recorded = [("ann", "again"), ("cy", "hi"), ("cy", "zoo")]
    assert kept(to) == sorted([("ann", "hi"), ("bob", "bye"), *recorded])
    assert competition.read_signs(to) == {"again": 0, "bye": 1, "hi": 2, "zoo": 3}
    assert str(path) in set(competition.read_index(to).path)
    np.testing.assert_array_equal(read_clip(path), xyz)


def test_every_clip_without_a_hand_has_a_picture_a_recorded_one_its_landmarks_alone(source, to):
    write(source, "ann/bye/hidden.mp4", size=2)
    xyz = undetected(4)
    xyz[:, LEFT_SHOULDER], xyz[:, RIGHT_SHOULDER] = (0.75, 0.5, 0), (0.25, 0.5, 0)
    number = collection.add(xyz, "cy", "zoo", to).stem
    report = collection.make(source, to, False).read_text()
    listed = report.split("pictures are in doubtful/")[1]
    assert "hidden.mp4" in listed and f"{number}.parquet" in listed
    found = {path.name for path in (to / "doubtful").iterdir()}
    assert len(found) == 2 and f"cy-zoo-{number}.png" in found
    with Image.open(to / f"doubtful/cy-zoo-{number}.png") as picture:
        ys, xs = np.nonzero(np.asarray(picture).any(-1))
        assert picture.size == (3 * 360, 270)
    assert xs.min() == 90 and xs.max() == 2 * 360 + 270 and set(ys) <= {134, 135}
    # The picture of a video is the video's own, and stays.
    (other,) = found - {f"cy-zoo-{number}.png"}
    assert other.startswith("ann-bye-") and len(competition.read_index(to)) == 4
    with Image.open(to / "doubtful" / other) as picture:
        assert picture.size == (3 * 30, 20)


def test_a_video_that_was_made_better_is_doubtful_no_more(source, to):
    write(source, "ann/hi/1.mp4", "bob/bye/1.mp4", size=2)
    collection.make(source, to, False)
    write(source, "ann/hi/1.mp4", size=5)
    later = (to / "train.csv").stat().st_mtime + 10
    os.utime(source / "ann/hi/1.mp4", (later, later))
    collection.make(source, to, False)
    assert [path.name.partition("-")[0] for path in (to / "doubtful").iterdir()] == ["bob"]


def test_long_names_leave_room_for_the_name_of_a_picture(tmp_path, to):
    source = write(tmp_path / "videos", f"{'я' * 90}/{'ю' * 90}/1.mp4", size=2)
    collection.make(source, to, False)
    assert len([*(to / "doubtful").iterdir()]) == 1


def test_videos_that_are_no_longer_there_leave_the_tables_and_are_said(source, to, tmp_path):
    collection.make(source, to, False)
    other = write(tmp_path / "other", "ann/hi/1.mp4", "cy/bye/1.mp4")
    report = collection.make(other, to, False).read_text()
    assert kept(to) == [("ann", "hi"), ("cy", "bye")]
    assert report.split("## Gone since")[1].count("- ") == 1 and "- bye by bob: " in report
    assert "gone" not in collection.make(other, to, False).read_text()


def test_a_recorded_clip_that_was_deleted_leaves_the_tables_and_is_said(source, to):
    stays, goes = (collection.add(undetected(4), "cy", sign, to) for sign in ("hi", "bad"))
    goes.unlink()
    report = collection.make(source, to, False).read_text()
    assert str(goes) in report.split("## Gone since the last time")[1]
    assert kept(to) == [("ann", "hi"), ("bob", "bye"), ("cy", "hi")]
    assert str(stays) in set(competition.read_index(to).path)
    assert "gone" not in collection.make(source, to, False).read_text()


def test_a_folder_from_elsewhere_is_left_as_it_is(sample, source, to):
    shutil.copytree(sample, to, ignore=shutil.ignore_patterns(".*"))
    before = {path: path.read_bytes() for path in to.rglob("*.*")}
    with pytest.raises(InputError, match="name a new folder"):
        collection.add(undetected(2), "ann", "hi", to)
    with pytest.raises(InputError, match="name a new folder"):
        collection.make(source, to, False)
    assert {path: path.read_bytes() for path in to.rglob("*.*")} == before


@pytest.mark.parametrize("place", ["report.md", "videos.json", "a/b/1.parquet"])
def test_a_folder_with_files_of_somebody_elses_is_left_as_it_is(source, to, place):
    (write(to, place) / place).write_text('{"mine": 1}')
    for fill in (
        lambda: collection.add(undetected(2), "ann", "hi", to),
        lambda: collection.make(source, to, False),
    ):
        with pytest.raises(InputError, match=r"mine: expected an empty folder, .*name a new fold"):
            fill()
    assert [path for path in to.rglob("*") if path.is_file()] == [to / place]
    assert (to / place).read_text() == '{"mine": 1}' and not ASKED


def test_a_competition_folder_with_a_report_of_somebody_elses_is_left_as_it_is(sample, source, to):
    shutil.copytree(sample, to, ignore=shutil.ignore_patterns(".*"))
    (to / "report.md").write_text("mine")
    with pytest.raises(InputError, match="name a new folder"):
        collection.make(source, to, False)
    assert (to / "report.md").read_text() == "mine"


def test_an_empty_folder_is_filled_and_what_was_stopped_in_it_goes_on(source, to, monkeypatch):
    """What begins with a dot is the system's own, or a lock."""
    write(to, ".DS_Store", ".lock")
    with monkeypatch.context() as patch:
        patch.setattr(collection, "_write_tables", lambda *_: 1 / 0)
        for fill in (
            lambda: collection.add(undetected(2), "cy", "hi", to),
            lambda: collection.make(source, to, False),
        ):
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    fill()
    collection.make(source, to, False)
    assert kept(to) == [("ann", "hi"), ("bob", "bye")]


def test_the_folder_may_be_inside_the_videos_but_not_the_videos_inside_it(source, to):
    write(source.parent, "list.csv", size=0)
    for videos, folder in (
        (source, source),
        (source, source.parent),
        (source, source / "../"),
        (source.parent / "list.csv", source.parent),
    ):
        with pytest.raises(InputError, match="expected a folder apart from the videos, found one"):
            collection.make(videos, folder, False)
    assert len([*source.parent.rglob("*.*")]) == 3
    for _ in range(2):
        collection.make(source, source / "ann/mine", False)
    assert len(ASKED) == 2 and kept(source / "ann/mine") == [("ann", "hi"), ("bob", "bye")]


@pytest.mark.parametrize("text", ["", "path,participant_id,sequence_id,sign\nx,Zo\xeb,1,hi\n"])
def test_a_table_that_somebody_has_spoilt_is_named(source, to, text):
    collection.make(source, to, False)
    (to / "train.csv").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"train\.csv: expected a table of clips"):
        collection.make(source, to, False)


def test_a_collection_that_was_stopped_before_its_report_goes_on(source, to, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(collection, "_report", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            collection.make(source, to, False)
    ASKED.clear()
    assert collection.make(source, to, False).is_file() and not ASKED
