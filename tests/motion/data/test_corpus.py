import shutil

import numpy as np
import pytest
import torch

from src.common.errors import InputError
from src.motion.body.clip import MotionClip
from src.motion.body.pose_space import FAIRMOTION, MOTION_TRANSFORMER, Scaling, mirrored
from src.motion.body.rotations import angle_between
from src.motion.data.corpus import prepare, read_corpus
from src.motion.data.formats.dip import read_dip, write_dip
from src.motion.data.splits import LISTS, file_id, read_splits, split_files
from src.motion.data.synthetic import ACTIONS, synthetic_clip, write_sample
from src.motion.study.rollout import angular_speed


@pytest.mark.parametrize(
    "folder,database",
    [("AMASS_CMU_Kitchen", "CMU_Kitchen"), ("AMASS_HDM05", "HDM05"), ("BioMotion_x_y", "BioMotion"),
     ("SSM", "SSM")],
)  # fmt: skip
def test_a_files_id_is_database_and_name(tmp_path, folder, database):
    assert file_id(tmp_path / folder / "a.pkl") == f"{database}/a.pkl"


def lists(folder, train=("A/1.pkl", "A/2.pkl"), valid=("A/3.pkl",), test=("B/1.pkl",)):
    for split, ids in (("train", train), ("valid", valid), ("test", test)):
        (folder / LISTS[split]).write_text("\n".join(ids) + "\n\n")


def test_wrong_lists_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"training_fnames.txt: expected the published list"):
        read_splits(tmp_path)
    lists(tmp_path, test=("A/1.pkl",))
    with pytest.raises(InputError, match=r"A/1.pkl is also in the train list"):
        read_splits(tmp_path)
    lists(tmp_path, test=("C/9.pkl",))
    with pytest.raises(InputError, match=r"none of the 1 is in it; their ids look like 'A/1"):
        split_files([tmp_path / "A" / "1.pkl"], read_splits(tmp_path))
    amc = [tmp_path / "A" / f"{n}.amc" for n in range(4)]
    with pytest.raises(InputError, match=r"'A/0.amc', the list's like 'A/1.pkl'; .*write lists"):
        split_files(amc, read_splits(tmp_path))
    (tmp_path / LISTS["test"]).write_bytes("B/Å.pkl".encode("latin1"))
    with pytest.raises(InputError, match=r"test_fnames.txt: expected a list in UTF-8.*position 2"):
        read_splits(tmp_path)


def test_published_lists_even_of_windows_editors_say_which_files_are_in_which_split(tmp_path):
    """A mark in front hid the first id; of CMU_1/1.pkl and CMU_2/1.pkl only the last was used."""
    lists(tmp_path)
    (tmp_path / LISTS["train"]).write_bytes(b"\xef\xbb\xbfA/1.pkl\r\nA/2.pkl\r\nA/1.pkl\r\n")
    splits = read_splits(tmp_path)
    assert splits == {"train": ("A/1.pkl", "A/2.pkl"), "valid": ("A/3.pkl",), "test": ("B/1.pkl",)}
    files = [tmp_path / f / f"{n}.pkl" for f in ("A_1", "A_2", "B") for n in (1, 2, 3)]
    found = split_files(files, splits).items()
    assert {of: [f"{p.parent.name}/{p.stem}" for p in paths] for of, paths in found} == {
        "train": ["A_1/1", "A_2/1", "A_1/2", "A_2/2"], "valid": ["A_1/3", "A_2/3"], "test": ["B/1"],
    }  # fmt: skip


def test_a_corpus_can_be_read_by_published_lists(sample, tmp_path):
    data = tmp_path / "data"
    for n, path in enumerate(sorted((sample / "test").iterdir())):
        write_dip(data / "AMASS_X" / f"{n}.pkl", read_dip(path))
    lists(tmp_path, train=("X/1.pkl",), valid=("X/2.pkl",), test=("X/0.pkl", "X/gone.pkl"))
    read = read_corpus(data, lists=tmp_path)
    names = {split: [clip.name for clip in clips] for split, clips in read.splits.items()}
    assert names == {"train": ["1"], "valid": ["2"], "test": ["0"]}


def test_validation_clips_come_from_training_only(sample):
    corpus = read_corpus(sample)
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (8, 1, 3)  # of 9 and 3
    names = {c.name for c in corpus.train} | {c.name for c in corpus.valid}
    assert names == {p.stem for p in (sample / "train").iterdir()}


def test_too_few_training_clips_to_validate_by_are_refused(tmp_path):
    """Every eighth validates, so that seven leave none; beside valid/ any number will do."""
    write_sample(tmp_path, seed=0, train=7, test=1)
    message = (
        r"train: expected at least 8 .* every eighth one .*, found 7; add .* in a folder .*valid$"
    )
    with pytest.raises(InputError, match=message):
        read_corpus(tmp_path)
    clip = next((tmp_path / "train").iterdir())
    write_dip(tmp_path / "train" / "z.pkl", read_dip(clip))  # by name it is the eighth
    read = read_corpus(tmp_path)
    assert ([len(part) for part in read.splits.values()], read.valid[0].name) == ([7, 1, 1], "z")
    (tmp_path / "valid").mkdir()
    (tmp_path / "train" / "z.pkl").rename(tmp_path / "valid" / "z.pkl")
    assert [len(part) for part in read_corpus(tmp_path).splits.values()] == [7, 1, 1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_recording_in_two_formats_is_refused(sample, tmp_path, split):
    """Of its two copies one could have been trained on, and the other validated."""
    shutil.copytree(sample, tmp_path, dirs_exist_ok=True)
    twice = next((tmp_path / split).iterdir())
    twice.with_suffix(".bvh").touch()
    message = rf"{twice.name}: expected each recording in one format, .* {twice.stem}.bvh beside it"
    with pytest.raises(InputError, match=message):
        read_corpus(tmp_path)


def test_a_corpus_without_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="train: expected a folder of motion files"):
        read_corpus(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="expected motion files"):
        read_corpus(tmp_path)


def test_clips_are_brought_to_60_hz_as_they_are_read(tmp_path):
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        np.savez(tmp_path / split / "a.npz", poses=np.zeros((300, 72)), mocap_framerate=120.0)
    assert len(read_corpus(tmp_path).test[0]) == 150


TOO_SHORT = {"valid": r"\(every eighth training clip, unless", "test": "add .* to this split$"}


@pytest.mark.parametrize(("cut", "length"), [("every 60", 144), ("motion-transformer", 180)])
@pytest.mark.parametrize("split", TOO_SHORT)
def test_a_split_without_a_long_enough_clip_is_refused(sample, tmp_path, split, cut, length):
    """As it is read: notebook 05 draws the test windows before a network asks for windows."""
    for folder in ("train", "valid", "test"):
        clip = read_dip(next((sample / "train").iterdir()))
        frames = length - 1 if folder == split else 200
        short = MotionClip(clip.name, clip.rotations[:frames], 60.0)
        write_dip(tmp_path / folder / "a.pkl", short)
    message = rf"{split}: expected a clip of {length} .*1 has {length - 1}; .*{TOO_SHORT[split]}"
    with pytest.raises(InputError, match=message):
        read_corpus(tmp_path, cut=cut)


def test_the_cut_reaches_windows_and_truths_alike(sample):
    corpus = read_corpus(sample, cut="motion-transformer")
    data = prepare(corpus, MOTION_TRANSFORMER, Scaling())
    assert len(data.valid) == len(data.valid_truth) == len(corpus.valid)
    assert torch.allclose(data.space.decode(data.valid[:, 120:]), data.valid_truth, atol=1e-5)
    assert torch.allclose(data.space.decode(data.test[:, 120:]), data.test_truth, atol=1e-5)
    with pytest.raises(InputError, match=r"^WINDOWS: expected 'every 60' or 'fairmotion' or 'mo"):
        read_corpus(sample, cut="every 61")


# --- what networks see --------------------------------------------------------------------------


@pytest.mark.parametrize("pose_format", [MOTION_TRANSFORMER, FAIRMOTION])
def test_prepared_windows_lead_back_to_the_clips_rotations(corpus, pose_format):
    data = prepare(corpus, pose_format, Scaling())
    decoded = data.space.decode(data.test)
    assert torch.allclose(decoded[:, 120:], data.test_truth, atol=1e-5)
    first = torch.from_numpy(corpus.test[0].predicted[:144])
    assert torch.allclose(decoded[0], first, atol=1e-5)


@pytest.mark.parametrize("divide_by,power", [("std", 1), ("variance", 2)])
def test_training_clips_are_normalised_by_std_or_variance(corpus, divide_by, power):
    data = prepare(corpus, MOTION_TRANSFORMER, Scaling(divide_by, floor=1e-6), mirror=False)
    raw = np.concatenate([c.predicted.reshape(-1, 15, 9) for c in corpus.train]).astype(np.float64)
    moving = raw.std(0) > 1e-2
    expected = (raw - raw.mean(0)) / np.maximum(raw.std(0) ** power, 1e-6)
    made = torch.cat(data.train).numpy()
    assert moving.sum() > 40
    assert np.allclose(made[:, moving], expected[:, moving], rtol=1e-3, atol=1e-3)


def test_sources_scaling_looks_at_the_inputs_of_training_windows_only(corpus):
    over_sources = prepare(corpus, FAIRMOTION, Scaling(over="sources"), mirror=False)
    frames = np.concatenate([
        FAIRMOTION.encode(torch.from_numpy(c.rotations))[s : s + 120]
        for c in corpus.train for s in range(0, len(c) - 179, 120)
    ])  # fmt: skip
    assert np.allclose(over_sources.space.normaliser.mean, frames.mean(0), atol=1e-5)


def test_channels_that_never_move_are_zero_and_finite_at_the_floor(corpus):
    """The collars never move here, as in CMU's data; the originals divide by (almost) zero."""
    for scaling in (Scaling("std", 0.02), Scaling("variance", 1e-3)):
        data = prepare(corpus, MOTION_TRANSFORMER, scaling)
        collar = data.test[:, :, 8]  # left_collar
        assert collar.isfinite().all() and collar.abs().max() < 1e-3
        assert data.space.normaliser.scale.min() >= scaling.floor


@pytest.mark.parametrize("added", ["mirrored", "twice as fast"])
def test_added_clips_double_the_training_and_nothing_else(corpus, added):
    """Twice as fast: every second frame, half as long; the scale stays that of the clips."""
    more = {"mirror": True} if added == "mirrored" else {"mirror": False, "speeds": (2.0,)}
    with_ = prepare(corpus, MOTION_TRANSFORMER, Scaling(), **more)
    without = prepare(corpus, MOTION_TRANSFORMER, Scaling(), mirror=False)
    count = len(without.train)
    assert len(with_.train) == 2 * count
    if added == "twice as fast":
        for clip, fast in zip(without.train, with_.train[count:], strict=True):
            assert torch.equal(fast, clip[::2])
    assert torch.equal(with_.space.normaliser.mean, without.space.normaliser.mean)
    assert torch.equal(with_.test, without.test) and torch.equal(with_.valid, without.valid)


# --- synthetic motion ---------------------------------------------------------------------------


def test_the_sample_is_the_same_for_the_same_seed_and_another_for_another(tmp_path):
    made = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        folder = tmp_path / name
        write_sample(folder, seed, train=3, test=3)
        made.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.pkl")})
    assert made[0] == made[1] != made[2]
    assert made[0].keys() == made[2].keys() and len(made[0]) == 6


@pytest.mark.parametrize("action", ACTIONS)
def test_synthetic_bodies_move_smoothly_within_human_limits(action):
    clip = synthetic_clip(action, 300, np.random.default_rng(0))
    matrices = torch.from_numpy(clip.predicted).double()
    assert angle_between(matrices, torch.eye(3).to(matrices).expand_as(matrices)).max() < 2.5  # rad
    speed = angular_speed(matrices[None])
    assert 0.05 < speed.mean() < 5  # rad/s averaged over joints: neither still nor a blur


def test_synthetic_walking_is_symmetric_half_a_period_later():
    """Mirror it and shift it by half a period: about the same, since it walks."""
    clip = synthetic_clip("walk", 400, np.random.default_rng(1))
    one, other = (torch.from_numpy(c.predicted).double() for c in (clip, mirrored(clip)))
    apart = [angle_between(one[k : k + 200], other[:200]).mean().item() for k in range(120)]
    assert min(apart) < 0.25 * max(apart)


def test_amass_shapes_beside_the_motions_are_left_out(tmp_path):
    for split in ("train", "valid", "test"):
        folder = tmp_path / split / "subject"
        folder.mkdir(parents=True)
        np.savez(folder / "a_stageii.npz", poses=np.zeros((144, 165)), mocap_frame_rate=60.0)
        (folder / "._a_stageii.npz").write_bytes(b"what a Mac puts beside a file")
        (folder / "b.npz").mkdir()
        np.savez(folder / "shape.npz", betas=np.zeros(16))
        np.savez(folder / "male_stagei.npz", betas=np.zeros(16))
    read = read_corpus(tmp_path)
    assert [clip.name for clips in read.splits.values() for clip in clips] == ["a_stageii"] * 3
