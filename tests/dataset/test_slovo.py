"""Slovo's format: a competition folder comes out of it, and every fault has its message."""

import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.common.errors import InputError
from src.common.files import write_text
from src.common.paths import SLOVO_INDEX, competition_folder
from src.dataset import folds, slovo
from src.dataset import store as stores
from src.dataset.clip_file import read_clip
from src.dataset.competition import read_index, read_signs
from src.dataset.sample.lexicon import draw_lexicon
from src.dataset.sample.signers import draw_signers
from src.dataset.sample.writer import record
from src.dataset.slovo_keypoints import to_landmarks
from src.landmarks import HANDS, LEFT_HAND, N_LANDMARKS, PARTS, POSE, RIGHT_HAND, rows_of

CLIPS = 3 * 2
DIGITS = 5  # behind the point: far less than a pixel


@pytest.fixture(scope="session")
def slovo_sample(tmp_path_factory) -> Path:
    """3 synthetic signs by 2 signers, of whom the second is tested on; nobody may write there."""
    folder = tmp_path_factory.mktemp("slovo") / "data"
    rows = []
    for label, sign in enumerate(draw_lexicon(3, seed=5)):
        for number, signer in enumerate(draw_signers(2, seed=5)):
            xyz = record(sign, signer, np.random.default_rng([label, number]))
            name = uuid.UUID(int=10 * label + number).hex  # it says nothing, as Slovo's names do
            frames = json.dumps([frame_of(frame) for frame in xyz])
            write_text(folder / "keypoints" / f"{name}.json", frames)
            user = uuid.UUID(int=number).hex
            rows.append((name, user, 1440, 1920, len(xyz), sign.name, number == 0, 0, len(xyz)))
    columns = ["attachment_id", "user_id", "width", "height", "length", "text", "train"]
    table = pd.DataFrame(rows, columns=[*columns, "begin", "end"])
    table.to_csv(folder / SLOVO_INDEX, sep="\t", index=False)
    return folder


def frame_of(xyz: np.ndarray) -> dict[str, Any]:
    """A frame as an object of its parts; a part that was not detected is left out."""
    points = {part: xyz[rows_of(part)].astype(np.float64).round(DIGITS) for part in PARTS}
    return {
        part: [dict(zip("xyz", point, strict=True)) for point in rows.tolist()]
        for part, rows in points.items()
        if not np.isnan(rows).any()
    }


@pytest.fixture(scope="session")
def one_file(slovo_sample, tmp_path_factory) -> Path:
    """The same clips in one file of keypoints, as Slovo ships them."""
    folder = shutil.copytree(slovo_sample, tmp_path_factory.mktemp("slovo") / "data")
    clips = {path.stem: json.loads(path.read_text()) for path in folder.glob("keypoints/*")}
    (folder / "slovo_mediapipe.json").write_text(json.dumps(clips))
    shutil.rmtree(folder / "keypoints")
    return folder


@pytest.fixture(scope="session")
def converted(slovo_sample, tmp_path_factory) -> Path:
    return slovo.as_competition(slovo_sample, tmp_path_factory.mktemp("converted"))


@pytest.fixture
def own(slovo_sample, tmp_path) -> Path:
    """A copy that the test may spoil."""
    return shutil.copytree(slovo_sample, tmp_path / "own")


def annotations(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / SLOVO_INDEX, sep="\t", dtype=str)


def points(n: int, x: float = 0.5) -> list[dict[str, float]]:
    return [{"x": x + k / 1000, "y": k / 100, "z": -k / 100} for k in range(n)]


# --- what comes out -----------------------------------------------------------------------------


def test_every_clip_is_there_as_it_was_written(slovo_sample, converted):
    index = read_index(converted)
    given = annotations(slovo_sample)
    told = given[["attachment_id", "user_id", "text", "train"]].values.tolist()
    ours = index[["sequence", "participant", "sign", "train"]].astype(str)
    assert ours.values.tolist() == told and len(index) == CLIPS
    for row in index.itertuples():
        frames = json.loads((slovo_sample / f"keypoints/{row.sequence}.json").read_text())
        assert [frame_of(xyz) for xyz in read_clip(row.path)] == frames
    assert slovo.skipped(converted) == []
    signs = read_signs(converted)
    assert list(signs) == sorted(signs) and list(signs.values()) == [0, 1, 2]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_one_file_of_all_clips_is_the_same(one_file, converted, tmp_path, encoding):
    path = shutil.copytree(one_file, tmp_path / "own") / "slovo_mediapipe.json"
    path.write_text(path.read_text(), encoding)
    other = slovo.as_competition(path.parent, tmp_path / "converted")
    tables = (read_index(folder).itertuples() for folder in (other, converted))
    for ours, expected in zip(*tables, strict=True):
        assert Path(ours.path).read_bytes() == Path(expected.path).read_bytes()
        assert ours[2:] == expected[2:]  # all but the path


def test_a_competition_folder_with_annotations_is_one(competition, tmp_path):
    folder = shutil.copytree(competition, tmp_path / "own")
    (folder / SLOVO_INDEX).write_text("video,word\n")
    assert slovo.as_competition(folder, tmp_path / "converted") == folder
    (folder / "train.csv").unlink()
    with pytest.raises(InputError, match=rf"{SLOVO_INDEX}: expected the columns"):
        slovo.as_competition(folder, tmp_path / "converted")


@pytest.mark.parametrize("signers", ["theirs", "one a clip"])
def test_the_store_tests_on_the_clips_that_are_not_to_train_on(own, tmp_path, signers):
    """They are one fold, also of several signers."""
    if signers == "one a clip":
        edited(lambda t: t.assign(user_id=t.attachment_id))(own)
    folder = slovo.as_competition(competition_folder(str(own)), tmp_path / "converted")
    store = stores.build(folder, tmp_path / "stores", LEFT_HAND, workers=1)
    index = read_index(folder)
    assert (store.clips.fold == np.where(index.train, folds.TRAIN_ONLY, 0)).all()
    assert (store.clips.training_only == index.train).all()
    assert set(index.train) == {True, False} and "train" not in store.clips


@pytest.mark.parametrize("flags", ["both", "True", "False"])
def test_as_extra_data_all_of_it_only_trains(own, competition, tmp_path, flags):
    """Whatever its flags say; the main folder's own folds stay what they are."""
    edited(lambda t: t.assign(text="apple", train=t.train if flags == "both" else flags))(own)
    extra = slovo.as_competition(own, tmp_path / "converted")
    alone, both = (
        stores.build(competition, tmp_path / "stores", LEFT_HAND, paths, workers=1)
        for paths in ((), (extra,))
    )
    assert stores.extra_clips(both) == CLIPS
    assert both.clips.fold.tolist() == [*alone.clips.fold, *[folds.TRAIN_ONLY] * CLIPS]


@pytest.mark.parametrize("flag", ["True", "False"])
def test_flags_that_divide_nothing_are_refused(own, tmp_path, flag):
    edited(lambda t: t.assign(train=flag))(own)
    main = slovo.as_competition(own, tmp_path / "converted")
    with pytest.raises(InputError, match=f"train on and .* found train = {flag} for all"):
        stores.build(main, tmp_path / "stores", LEFT_HAND, workers=1)


def test_a_competition_folder_is_left_as_it_is(competition, tmp_path):
    assert slovo.as_competition(competition, tmp_path) == competition
    assert slovo.skipped(competition) == [] and list(tmp_path.iterdir()) == []


# --- frames -------------------------------------------------------------------------------------


def test_parts_are_where_a_frame_has_them():
    for part in PARTS:
        rows = range(N_LANDMARKS)[rows_of(part)]
        for name in (part, f"{part}_landmarks"):
            xyz = to_landmarks([{}, {name: points(len(rows))}], "here")
            assert xyz.shape == (2, N_LANDMARKS, 3) and xyz.dtype == np.float32
            assert np.isnan(xyz[0]).all()
            expected = np.array([list(point.values()) for point in points(len(rows))], np.float32)
            np.testing.assert_array_equal(xyz[1, list(rows)], expected)
            others = [row for row in range(N_LANDMARKS) if row not in rows]
            assert np.isnan(xyz[1, others]).all()


@pytest.mark.parametrize("nothing", [None, []])
def test_parts_may_be_missing_in_every_way(nothing):
    frames = [{"pose": nothing, "left_hand": points(21)}, {}, None]
    xyz = to_landmarks(frames, "here")
    assert np.isnan(xyz[0, list(POSE)]).all() and not np.isnan(xyz[0, list(LEFT_HAND)]).any()
    assert np.isnan(xyz[1:]).all()


def test_a_face_with_irises_is_read_without_them():
    face = points(478)
    expected = to_landmarks([{"face": face[:468]}], "here")
    np.testing.assert_array_equal(to_landmarks([{"face": face}], "here"), expected)
    with pytest.raises(InputError, match="expected 468 points"):
        to_landmarks([{"face": face[:477]}], "here")


def test_points_may_be_lists_and_have_no_depth():
    expected = to_landmarks([{"left_hand": points(21)}], "here")
    lists = [list(point.values()) for point in points(21)]
    np.testing.assert_array_equal(to_landmarks([{"left_hand": lists}], "here"), expected)
    flat = expected.copy()
    flat[0, list(LEFT_HAND), 2] = 0
    for form in ([p[:2] for p in lists], [{"x": p[0], "y": p[1]} for p in lists]):
        np.testing.assert_array_equal(to_landmarks([{"left_hand": form}], "here"), flat)
    more = [{**point, "visibility": 0.3} for point in points(21)]
    np.testing.assert_array_equal(to_landmarks([{"left_hand": more}], "here"), expected)


@pytest.mark.parametrize(
    ("x_of", "hand_1_is"),
    [((0.2, 0.8), RIGHT_HAND), ((0.8, 0.2), LEFT_HAND), ((0.6, 0.9), RIGHT_HAND)],
)
def test_of_two_nameless_hands_the_one_farther_left_in_the_picture_is_the_right(x_of, hand_1_is):
    frame = {f"hand {k + 1}": points(21, x) for k, x in enumerate(x_of)}
    xyz = to_landmarks([frame], "here")
    assert xyz[0, hand_1_is[0], 0] == np.float32(x_of[0])
    assert not np.isnan(xyz[0, list(HANDS)]).any()


@pytest.mark.parametrize(("x", "hand"), [(0.2, RIGHT_HAND), (0.7, LEFT_HAND)])
@pytest.mark.parametrize("name", ["hand 1", "hand 2"])
def test_a_nameless_hand_alone_is_that_of_its_half(name, x, hand):
    xyz = to_landmarks([{name: points(21, x)}], "here")
    assert not np.isnan(xyz[0, list(hand)]).any()
    assert np.isnan(xyz[0]).any(-1).sum() == N_LANDMARKS - 21


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "expected a list of frames, found list of 0"),
        ({}, "expected a list of frames, found dict"),
        ([[]], "frame 0: expected an object of parts, found list"),
        ([{}, {"hands": points(21)}], "frame 1: expected the parts face, left_hand"),
        ([{"pose": points(21)}], "frame 0, pose: expected 33 points"),
        ([{"hand 1": points(20)}], "frame 0, hand 1: expected 21 points"),
        ([{"left_hand": [{"x": 0.1}] * 21}], "expected 21 points with x and y"),
        ([{"left_hand": "far"}], "expected 21 points"),
        ([{"left_hand": [[0.1, None, 0.2]] * 21}], "expected 21 points"),
        ([{"left_hand": [[0.1, float("nan"), 0.2]] * 21}], "finite x, y, z"),
        ([{"left_hand": [[0.1, 1e30, 0.2]] * 21}], "at most 65504"),  # a clip could not be read
    ],
)
def test_what_is_no_clip_is_refused_with_its_place(frames, reason):
    with pytest.raises(InputError, match=r"^clip seven") as refused:
        to_landmarks(frames, "clip seven")
    assert reason in str(refused.value)


def edited(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        table = change(annotations(folder))
        table.to_csv(folder / SLOVO_INDEX, sep="\t", index=False)

    return edit


def with_value(column: str, value: str) -> Callable[[Path], None]:
    """In the table's row 2."""
    return edited(lambda t: t.assign(**{column: t[column].where(t.index != 2, value)}))


def with_files(*names: str) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        shutil.rmtree(folder / "keypoints")
        for name in names:
            (folder / name).write_text("{}")

    return replace


FAULTS = {  # and of any table: test_competition.py
    "no flag": (edited(lambda t: t.drop(columns="train")), "found no 'train'"),
    "a wrong flag": (with_value("train", "perhaps"), "True or False as train, found 'perhaps'"),
    "a path as clip": (with_value("attachment_id", "../x"), r"attachment_id, found '\.\./x'"),
    "a path as user": (with_value("user_id", "a/b"), "plain names as user_id, found 'a/b'"),
    "a clip twice": (
        edited(lambda t: pd.concat([t, t[:1]])), "attachment_id once, found .* more often"
    ),
    "no keypoints": (with_files(), "expected keypoints, .* found neither"),
    "two files of keypoints": (with_files("a.json", "b.json"), r"found a\.json, b\.json"),
    "keypoints of one clip missing": (
        with_value("attachment_id", "another"), f"each of the {CLIPS} clips .* none of 1: another"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "reason"), FAULTS.values(), ids=FAULTS)
def test_faults_of_the_folder_are_clear_errors(spoil, reason, own, tmp_path):
    spoil(own)
    with pytest.raises(InputError, match=reason) as refused:
        slovo.as_competition(own, tmp_path / "converted")
    assert str(own) in str(refused.value)


@pytest.mark.parametrize("content", ["[{", '[{"pose": [[1, 2, 3]]}]'])
def test_a_broken_clip_stops_or_is_left_out_and_named(own, tmp_path, content):
    path = sorted((own / "keypoints").glob("*.json"))[0]
    path.write_text(content)
    with pytest.raises(InputError, match=rf"{path.stem}.*SKIP_BROKEN=True"):
        slovo.as_competition(own, tmp_path / "converted")
    folder = slovo.as_competition(own, tmp_path / "converted", skip_broken=True)
    index = read_index(folder)
    assert len(index) == CLIPS - 1 and path.stem not in set(index.sequence)
    (reason,) = slovo.skipped(folder)
    assert path.stem in reason


def test_a_folder_of_broken_clips_alone_is_refused_with_one_of_the_reasons(own, tmp_path):
    for path in (own / "keypoints").glob("*.json"):
        path.write_text("{")
    with pytest.raises(InputError, match=r"own: expected a clip that is not .* first: .*\.json"):
        slovo.as_competition(own, tmp_path / "converted", skip_broken=True)


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_truncated_file_of_all_clips_is_refused(one_file, tmp_path, cut):
    own = shutil.copytree(one_file, tmp_path / "own")
    path = own / "slovo_mediapipe.json"
    path.write_text(path.read_text()[:cut])
    with pytest.raises(InputError, match=r"slovo_mediapipe\.json: expected a JSON object"):
        slovo.as_competition(own, tmp_path / "converted")


def test_a_stopped_conversion_goes_on(own, tmp_path, monkeypatch):
    write, written = slovo.write_clip, []

    def stopping(path: Path, xyz: np.ndarray) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write(path, xyz)

    with monkeypatch.context() as patched:
        patched.setattr(slovo, "write_clip", stopping)
        with pytest.raises(KeyboardInterrupt):
            slovo.as_competition(own, tmp_path / "converted")
    (half,) = (tmp_path / "converted").iterdir()
    assert not (half / slovo.MARK).is_file()
    before = {path: path.stat().st_mtime_ns for path in half.rglob("*.parquet")}
    assert len(before) == 3
    folder = slovo.as_competition(own, tmp_path / "converted")
    assert folder == half and len(read_index(folder)) == CLIPS
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_what_is_converted_is_not_converted_again_unless_it_changes(own, tmp_path, capsys):
    first = slovo.as_competition(own, tmp_path / "converted")
    before = (first / slovo.MARK).stat().st_mtime_ns
    assert slovo.as_competition(own, tmp_path / "converted") == first
    assert (first / slovo.MARK).stat().st_mtime_ns == before
    assert capsys.readouterr().out == ""
    with_value("text", "another sign")(own)
    other = slovo.as_competition(own, tmp_path / "converted")
    assert other != first and "another sign" in read_signs(other)
    assert f"{other}: made again because of changes: annotations" in capsys.readouterr().out
