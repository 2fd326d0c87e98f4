"""The synthetic competition: true to the format, to the body, and neither trivial nor hopeless."""

import errno
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from src import landmarks as lm
from src.common.errors import InputError
from src.dataset.clip_file import read_clip
from src.dataset.competition import read_index
from src.dataset.sample import write_sample, writer
from src.dataset.sample.camera import detected, picture
from src.dataset.sample.face import Expression, face_points, neutral_face
from src.dataset.sample.lexicon import HANDSHAPES, LOCATIONS, ORIENTATIONS, draw_lexicon
from src.dataset.sample.performance import perform
from src.dataset.sample.signers import draw_signers
from src.dataset.sample.skeleton import elbow, hand_axes, hand_points, within_reach
from src.dataset.sample.writer import record, write_clip
from src.evaluation.baselines import aligned_hands, nearest_neighbour, raw_hands

LEXICON = draw_lexicon(25, seed=0)
ONE_HANDED = next(sign for sign in LEXICON if sign.hands == "one")
RIGHT_HANDED = replace(draw_signers(1, seed=0)[0], left_handed=False, frames=25.0)
MIRRORED = np.array([-1, 1, 1])
SCHEMA = pa.schema(  # what `pq.read_schema` says of a genuine clip
    {"frame": pa.int16(), "row_id": pa.string(), "type": pa.string(), "landmark_index": pa.int16()}
    | dict.fromkeys("xyz", pa.float64())
)

# --- files --------------------------------------------------------------------------------------


def coordinates(folder: Path) -> dict[str, bytes]:
    return {path: read_clip(folder / path).tobytes() for path in files(folder)}


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.glob("train_landmark_files/*/*"))


@pytest.mark.parametrize("name", ["", pytest.param("asl_signs", marks=pytest.mark.reference)])
def test_columns_have_the_competitions_types(name, sample, reference):
    folder = reference(name) if name else sample
    for path in files(folder)[:32]:
        assert pq.read_schema(folder / path).remove_metadata() == SCHEMA


def test_rows_are_written_as_pandas_would(tmp_path):
    """Against the genuine form spelt out: "20-face-0", parts in order, null where NaN."""
    xyz = np.random.default_rng(0).normal(size=(3, 543, 3)).astype(np.float32)
    xyz[1, lm.LEFT_HAND] = np.nan
    rows = [(part, k) for part, size in lm.PARTS.items() for k in range(size)]
    write_clip(tmp_path / "clip.parquet", xyz, first_frame=20)
    table = pq.read_table(tmp_path / "clip.parquet")
    assert list(zip(*table.to_pydict().values(), strict=True)) == [
        (frame, f"{frame}-{part}-{k}", part, k, *(None if np.isnan(v) else v for v in point))
        for frame, points in zip((20, 21, 22), xyz.tolist(), strict=True)
        for (part, k), point in zip(rows, points, strict=True)
    ]


@pytest.mark.parametrize(("first", "kind"), [(32_763, pa.int16()), (32_767, pa.int32())])
def test_a_long_recordings_frames_are_numbered_on(tmp_path, first, kind):
    """The fifth frame from 32,767 on does not fit the competition's numbers."""
    xyz = np.random.default_rng(0).random((5, lm.N_LANDMARKS, 3)).astype(np.float32)
    write_clip(path := tmp_path / "clip.parquet", xyz, first_frame=first)
    assert np.array_equal(read_clip(path), xyz)
    frame = pq.read_table(path)["frame"]
    assert frame.type == kind and frame.unique().to_pylist() == [*range(first, first + 5)]


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer.pq, "write_table", refuse)
    with pytest.raises(InputError, match=r"parquet: expected room to write it.*No space left"):
        write_sample(tmp_path / "sample", signs=2, participants=1, clips=1)


def test_index_and_map_fit_together(sample):
    header = (sample / "train.csv").read_text().splitlines()[0]
    assert header == "path,participant_id,sequence_id,sign"
    index = read_index(sample)
    assert index.groupby(["sign", "participant"]).size().tolist() == [2] * 4 * 4
    assert index.sign.nunique() == index.participant.nunique() == 4
    assert sorted(index.path) == [str(sample / path) for path in files(sample)]
    assert all(len(read_clip(path)) for path in index.path)


def test_same_arguments_same_coordinates_and_more_signers_change_none(tmp_path):
    first, second = (write_sample(tmp_path / name, 3, 2, 1, seed=5) for name in ("a", "b"))
    assert coordinates(first) == coordinates(second)
    assert (first / "train.csv").read_bytes() == (second / "train.csv").read_bytes()
    fewer = coordinates(write_sample(tmp_path / "fewer", 3, 1, 1, seed=5))
    assert fewer.items() < coordinates(first).items()
    other = coordinates(write_sample(tmp_path / "other", 3, 2, 1, seed=6))
    assert not {*coordinates(first).values()} & {*other.values()}


def test_a_whole_folder_is_kept_and_nothing_else_is_overwritten(tmp_path):
    folder = write_sample(tmp_path / "a", 2, 1, 1)
    before = [(folder / path).stat().st_mtime_ns for path in files(folder)]
    assert write_sample(folder, 2, 1, 1) == folder
    with pytest.raises(InputError, match="choose another folder, or delete this one"):
        write_sample(folder, 2, 1, 1, seed=1)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").touch()
    with pytest.raises(InputError, match="found something else"):
        write_sample(tmp_path / "own", 2, 1, 1)
    assert [(folder / path).stat().st_mtime_ns for path in files(folder)] == before


def test_what_a_killed_run_left_does_not_get_in(tmp_path):
    left = tmp_path / ".a.unfinished/train_landmark_files/90001/1.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    folder = write_sample(tmp_path / "a", 2, 1, 1)
    assert len(files(folder)) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]
    assert {p.name for p in folder.iterdir()} == {
        *("train.csv", "sign_to_prediction_index_map.json", "sample.json", "train_landmark_files")
    }


@pytest.mark.parametrize(
    "numbers", [{"signs": 0}, {"participants": -1}, {"clips": 1000}, {"seed": -1}, {"signs": 10**6}]
)
def test_refuses_numbers_out_of_range(tmp_path, numbers):
    with pytest.raises(InputError, match=rf"expected {next(iter(numbers))} from \d to"):
        write_sample(tmp_path / "a", **numbers)
    assert not list(tmp_path.iterdir())


# --- hands and arms -----------------------------------------------------------------------------


@given(st.lists(st.floats(-2, 2), min_size=20, max_size=20))
def test_bones_keep_their_lengths(values):
    hand = hand_points(np.array(values).reshape(1, 5, 4), palm=0.1)[0]
    flat = hand_points(np.zeros((1, 5, 4)), palm=0.1)[0]
    for finger in lm.FINGERS:
        for points in (hand, flat):
            assert (points[finger[0]] == 0).all()
        bones = np.diff(hand[list(finger)], axis=0), np.diff(flat[list(finger)], axis=0)
        # float64, sums of a few terms below 0.1 m
        np.testing.assert_allclose(*(np.linalg.norm(b, axis=1) for b in bones), atol=1e-12)


def test_a_flat_hand_is_flat_and_a_right_angle_is_one():
    flat = hand_points(np.zeros((1, 5, 4)), palm=0.1)[0]
    for finger in lm.FINGERS[1:]:
        along = np.diff(flat[list(finger[1:])], axis=0)
        assert (along[:, 1] > 0).all()
        np.testing.assert_allclose(along[:, [0, 2]], 0, atol=1e-15)
    bent = np.zeros((1, 5, 4))
    bent[0, 1:, 1] = np.pi / 2  # at the knuckles
    turned = hand_points(bent, palm=0.1)[0]
    for finger in lm.FINGERS[1:]:
        reach = np.linalg.norm(flat[finger[-1]] - flat[finger[1]])
        np.testing.assert_allclose(turned[finger[-1]], flat[finger[1]] + [0, 0, reach], atol=1e-12)
    np.testing.assert_array_equal(turned[list(lm.FINGERS[0])], flat[list(lm.FINGERS[0])])
    bent[0] = [0, 0, np.pi / 2, 0]  # at the next joints fingers bend out of the palm, thumbs do not
    out = hand_points(bent, palm=0.1)[0, list(lm.FINGERTIPS), 2]
    assert out[0] == flat[lm.FINGERTIPS[0], 2] and (out[1:] > 0.01).all()


def test_the_thumb_is_on_its_side():
    """A right hand held up, palm to the viewer: its thumb is at the signer's left, in mid-body."""
    up, forward = np.array([0.0, -1, 0]), np.array([0.0, 0, -1])
    five = HANDSHAPES[0]
    points = hand_axes(up, forward).apply(hand_points(five.angles[None], palm=0.1)[0])
    assert points[lm.FINGERTIPS[0], 0] > points[lm.KNUCKLES[1], 0] > points[lm.KNUCKLES[4], 0]
    assert (points[list(lm.FINGERTIPS[1:]), 1] < points[list(lm.KNUCKLES[1:]), 1]).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: o.name)
def test_a_hand_looks_where_it_should(orientation):
    turn = hand_axes(np.array(orientation.fingers), np.array(orientation.palm))
    np.testing.assert_allclose(turn.apply([0, 1, 0]), orientation.fingers, atol=1e-12)
    np.testing.assert_allclose(turn.apply([0, 0, 1]), orientation.palm, atol=1e-12)


@given(st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3))
def test_arms_reach_as_far_as_they_are_long(place):
    shoulder, arm, out = np.array([-0.16, 0, 0]), (0.27, 0.24), np.array([-0.7, 1.0, 0.35])
    target = np.array([place])
    assume(np.linalg.norm(target - shoulder) > 0.05)  # within it, no arm can fold that much
    wrist = within_reach(target, shoulder, arm)
    bend = elbow(wrist, shoulder, arm, out)
    near = np.linalg.norm(target - shoulder) < 0.97 * sum(arm)
    assert near == np.allclose(wrist, target)
    # float64; the square root near a straight arm loses half the digits
    np.testing.assert_allclose(np.linalg.norm(bend - shoulder), arm[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(bend - wrist), arm[1], atol=1e-6)


# --- face ---------------------------------------------------------------------------------------


def face_with(**given_: float) -> np.ndarray:
    values = {"opening": 0.0, "width": 1.0, "protrusion": 0.0, "brows": 0.0} | given_
    return face_points(Expression(**{name: np.array([v]) for name, v in values.items()}))[0]


@pytest.mark.parametrize("opening", [0.0, 0.8])
def test_the_face_is_its_own_mirror_image(opening):
    face = face_with(opening=opening, width=0.7)
    np.testing.assert_allclose(face[list(lm.MIRROR[:468])] * MIRRORED, face, atol=1e-12)
    assert np.isfinite(face).all()
    assert len(np.unique(face.round(6), axis=0)) > 460  # hardly any two in one place


def test_an_open_mouth_opens_lips_and_jaw_only():
    closed, opened = face_with(), face_with(opening=0.5)
    width = closed[lm.LIPS_40[10], 0] - closed[lm.LIPS_40[0], 0]
    top, inner_top, inner_bottom, bottom = lm.LIPS_MIDLINE
    gap = opened[inner_bottom, 1] - opened[inner_top, 1]
    before = closed[inner_bottom, 1] - closed[inner_top, 1]
    np.testing.assert_allclose(gap - before, 0.5 * width, atol=1e-12)
    assert opened[top, 1] < closed[top, 1] < closed[bottom, 1] < opened[bottom, 1]
    assert opened[lm.CHIN, 1] > closed[lm.CHIN, 1] + 0.05
    still = [*lm.LEFT_EYE_16, *lm.RIGHT_EYE_16, *lm.RIGHT_BROW_MEAN, *lm.NOSE_4]
    np.testing.assert_array_equal(opened[still], closed[still])


def test_a_round_mouth_is_narrow_and_in_front():
    plain, round_ = face_with(opening=0.3), face_with(opening=0.3, width=0.5, protrusion=0.1)
    lips = list(lm.LIPS_40)
    np.testing.assert_allclose(round_[lips, 0], 0.5 * plain[lips, 0], atol=1e-12)
    assert (round_[lips, 2] < plain[lips, 2]).all()
    others = [k for k in lm.FACE if k not in lm.LIPS_40]
    np.testing.assert_array_equal(round_[others], plain[others])


@pytest.mark.reference
def test_named_landmarks_are_where_genuine_faces_have_them(reference):
    """Against the mean of the genuine faces, size, place and stretch taken away."""
    index = read_index(reference("asl_signs"))
    clips = [read_clip(path, lm.FACE) for path in index.path[::8]]
    faces = np.concatenate([clip[~np.isnan(clip[:, 0, 0])] for clip in clips])
    faces = (faces - faces.mean(1, keepdims=True)) / faces.std(1, keepdims=True)
    genuine = faces.mean(0)
    named = {*lm.FACE_OVAL, *lm.LIPS_40, *lm.FACE_MIDLINE, *lm.CHEEKS, *lm.NOSE_4}
    named |= {*lm.RIGHT_EYE_16, *lm.RIGHT_BROW_MEAN}
    named = sorted(named | {lm.MIRROR[k] for k in named})
    ours = neutral_face()
    for axis in (0, 1):
        slope, offset = np.polyfit(genuine[named, axis], ours[named, axis], 1)
        apart = np.abs(genuine[named, axis] * slope + offset - ours[named, axis])
        assert apart.max() < 0.07  # face widths


# --- signs and signers --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4, 25, 250])
def test_signs_are_distinct_and_named_by_label(size):
    signs = draw_lexicon(size, seed=0)
    assert [sign.name for sign in signs] == [f"sign_{k:03}" for k in range(size)]
    assert len({replace(sign, name="") for sign in signs}) == size
    assert signs == draw_lexicon(size, seed=0)
    assert size == 1 or signs != draw_lexicon(size, seed=1)


def test_a_good_part_are_minimal_pairs_in_every_parameter():
    signs = map(vars, LEXICON)
    pairs = [{key for key in a if a[key] != b[key]} for a, b in combinations(signs, 2)]
    pairs = [differing - {"name", "end"} for differing in pairs]
    single = [next(iter(differing), "end") for differing in pairs if len(differing) <= 1]
    assert len(single) >= 10
    assert set(single) >= {"start", "location", "orientation", "movement", "mouth"}


@pytest.mark.parametrize("seed", range(5))
def test_a_third_of_the_signers_is_left_handed(seed):
    for count in (4, 12, 40):
        left = sum(signer.left_handed for signer in draw_signers(count, seed))
        assert abs(left - 0.35 * count) < 1
    assert len({signer.palm for signer in draw_signers(12, seed)}) == 12


def test_a_left_handed_signer_is_the_mirror_image():
    for sign in LEXICON[:5]:
        right = perform(sign, RIGHT_HANDED, np.random.default_rng(1))
        left = perform(sign, replace(RIGHT_HANDED, left_handed=True), np.random.default_rng(1))
        np.testing.assert_array_equal(left, right[:, lm.MIRROR] * MIRRORED)


def test_one_hand_signs_one_hand_rests():
    body = perform(ONE_HANDED, RIGHT_HANDED, np.random.default_rng(1))
    highest = body[:, [lm.RIGHT_HAND[lm.WRIST], lm.LEFT_HAND[lm.WRIST]], 1].min(0)  # y is down
    assert highest[0] < 0.3 < highest[1]  # metres below the shoulders


def test_a_mirrored_sign_moves_both_hands_alike():
    sign = next(s for s in draw_lexicon(50, seed=0) if s.hands == "mirrored")
    sign = replace(sign, location=next(p for p in LOCATIONS if p.name == "beside"))
    body = perform(sign, RIGHT_HANDED, np.random.default_rng(1))
    left, right = body[:, lm.LEFT_WRIST], body[:, lm.RIGHT_WRIST]
    # Metres: each hand has its own small deviation (1.2 cm, turned by some degrees).
    assert np.abs(left * MIRRORED - right).max() < 0.12


def test_pose_and_hands_meet_at_the_wrists():
    body = perform(LEXICON[0], RIGHT_HANDED, np.random.default_rng(1))
    wrists = [lm.RIGHT_HAND[lm.WRIST], lm.LEFT_HAND[lm.WRIST]]
    np.testing.assert_array_equal(body[:, [lm.RIGHT_WRIST, lm.LEFT_WRIST]], body[:, wrists])


@pytest.mark.parametrize(
    "rows", [lm.FACE, lm.LEFT_HAND, lm.RIGHT_HAND], ids=["face", "left", "right"]
)
def test_a_part_is_lost_whole_or_not_at_all(recordings, rows):
    frames = np.concatenate([np.isnan(clip[:, rows]) for clip in recordings.clips])
    np.testing.assert_array_equal(frames.any((1, 2)), frames.all((1, 2)))


def test_a_hand_out_of_the_picture_is_lost():
    signer = replace(RIGHT_HANDED, frames=200.0)
    xyz = picture(perform(ONE_HANDED, signer, np.random.default_rng(3)), signer.camera)
    seen = ~np.isnan(detected(xyz, 0.0, np.random.default_rng(0))[:, lm.RIGHT_HAND[lm.WRIST], 0])
    outside = (xyz[:, lm.RIGHT_HAND, 1] > 1.02).all(1)
    assert outside.sum() > 10
    assert not seen[outside].any()
    assert seen[~outside].mean() > 0.5


# --- as a whole ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recordings() -> SimpleNamespace:
    """25 signs x 12 signers x 2 clips, not written to disk."""
    signers = draw_signers(12, seed=0)
    numbers = np.array([*np.ndindex(12, 25, 2)])
    clips = [
        record(LEXICON[label], signers[signer], np.random.default_rng([0, 2, label, signer, k]))
        for signer, label, k in numbers
    ]
    return SimpleNamespace(clips=clips, signer=numbers[:, 0], label=numbers[:, 1])


def test_lengths_and_missing_shares_are_like_the_genuine_ones(recordings):
    """The competition's 747 clips of two signs, as their README sums them up; a sample of twelve
    signers and another lexicon is some way off, and so may this one be."""
    lengths = np.array([len(clip) for clip in recordings.clips])
    assert 2 <= lengths.min() <= lengths.max() <= 272
    assert 14 < np.median(lengths) < 23  # genuine: 18
    assert 25 < lengths.mean() < 38  # 31.4
    missing = np.concatenate([np.isnan(clip[..., 0]) for clip in recordings.clips])
    assert abs(missing[:, lm.LEFT_HAND].mean() - 0.71) < 0.08
    assert abs(missing[:, lm.RIGHT_HAND].mean() - 0.62) < 0.08
    assert missing[:, lm.FACE].mean() < 0.04  # 0.014
    assert not missing[:, lm.POSE].any()


def test_coordinates_are_in_the_picture_as_the_genuine_ones_are(recordings):
    frames = np.concatenate(recordings.clips)
    nose = frames[:, lm.POSE_NOSE].mean(0)
    shoulders = frames[:, [lm.LEFT_SHOULDER, lm.RIGHT_SHOULDER]].mean((0, 1))
    assert 0.4 < nose[0] < 0.6
    assert 0.35 < nose[1] < 0.52  # genuine clips: 0.44, and shoulders 0.65
    assert 0.55 < shoulders[1] < 0.75
    hands = frames[:, lm.HANDS][..., :2]
    assert -0.5 < np.nanmin(hands) < np.nanmax(hands) < 1.5


def test_a_new_signer_is_neither_trivial_nor_hopeless(recordings):
    """Nearest neighbour stays low, and what uses the same frames with some sense is far better."""
    held_out = recordings.signer % 4 == 2
    clips = np.array(recordings.clips, dtype=object)
    train, test = list(clips[~held_out]), list(clips[held_out])
    label, truth = recordings.label[~held_out], recordings.label[held_out]
    nearest = (nearest_neighbour(train, label, test, raw_hands) == truth).mean()
    assert 2 / 25 < nearest < 0.8
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    model.fit(np.stack([aligned_hands(clip) for clip in train]), label)
    learnt = model.score(np.stack([aligned_hands(clip) for clip in test]), truth)
    assert learnt > nearest + 0.3
