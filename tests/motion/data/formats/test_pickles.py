import pickle

import numpy as np
import pytest
import torch

from src.common.errors import InputError
from src.motion.body.pose_space import MOTION_TRANSFORMER, PoseFormat, Scaling
from src.motion.data.corpus import prepare, read_corpus
from src.motion.data.formats import fairmotion, read_motion
from src.motion.data.formats.dip import read_dip, write_dip
from src.motion.data.formats.pickles import read_arrays


def written(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.reference
def test_a_real_file_is_read_whole(mocap):
    path = mocap / "dip_format_60fps" / "test" / "walking_1.pkl"
    with path.open("rb") as file:
        poses = pickle.load(file, encoding="latin1")["poses"]
    clip = read_dip(path)
    assert clip.fps == 60 and len(clip) == 179  # MANIFEST.csv
    assert np.array_equal(clip.predicted.reshape(179, 135), poses)
    assert (clip.rotations[:, 0] == np.eye(3)).all()


def test_what_is_written_is_read(corpus, tmp_path):
    write_dip(tmp_path / "a.pkl", corpus.test[0])
    again = read_motion(tmp_path / "a.pkl")
    assert np.array_equal(again.rotations, corpus.test[0].rotations)
    assert [p.name for p in tmp_path.iterdir()] == ["a.pkl"]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_pickle_protocol_of_numpy_arrays_is_read(tmp_path, protocol):
    array = np.arange(6.0).reshape(2, 3)
    path = written(tmp_path / "a.pkl", {"poses": array, "name": "x", "list": [array]}, protocol)
    assert np.array_equal(read_arrays(path)["poses"], array)


class _Evil:
    def __reduce__(self):
        return print, ("this must never run",)


def test_a_pickle_that_would_run_code_is_refused_before_it_does(tmp_path, capsys):
    path = written(tmp_path / "evil.pkl", {"poses": _Evil()})
    with pytest.raises(InputError, match=r"evil.pkl: expected a pickle of numpy arrays.*print"):
        read_dip(path)
    assert capsys.readouterr().out == ""


def bad_files():
    good = np.tile(np.eye(3).ravel(), (10, 15)).astype(np.float32)
    nan = good.copy()
    nan[3, 7] = np.nan
    reflected = good.copy()
    reflected[2, 9:18] = np.diag([-1, 1, 1]).ravel()  # orthogonal, but no rotation
    return {
        "no poses": ({"pose": good}, "expected a dict with 'poses', found"),
        "a list": ([good], "expected a dict with 'poses', found list"),
        "width": ({"poses": good[:, :72]}, r"\(frames, 135\), found \(10, 72\)"),
        "empty": ({"poses": good[:0]}, r"found \(0, 135\)"),
        "integers": ({"poses": good.astype(int)}, "array of floats, found int64"),
        "objects": ({"poses": np.array([None] * 135)}, "array of floats, found object"),
        "nan": ({"poses": nan}, "must be finite, 1 of its values"),
        "no rotations": (
            {"poses": good * 0.3},
            "row by row, found matrices that are off by up to 0.9",
        ),
        "a reflection": ({"poses": reflected}, "found reflections .*, 1 of 150; turn"),
    }


@pytest.mark.parametrize("what", bad_files())
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, what):
    content, message = bad_files()[what]
    with pytest.raises(InputError, match="bad.pkl.*" + message):
        read_dip(written(tmp_path / "bad.pkl", content))


def test_a_truncated_or_missing_file_is_named(tmp_path):
    whole = pickle.dumps({"poses": np.zeros((10, 135), np.float32)}, protocol=2)
    (tmp_path / "cut.pkl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.pkl.*truncated"):
        read_dip(tmp_path / "cut.pkl")
    with pytest.raises(InputError, match=r"gone.pkl: expected a pickle .* found no such file"):
        read_dip(tmp_path / "gone.pkl")
    with pytest.raises(InputError, match=r"expected a motion file, one of .pkl"):
        (tmp_path / "a.c3d").write_text("")
        read_motion(tmp_path / "a.c3d")


FORMATS = [
    PoseFormat("axis angle", "all"),
    PoseFormat("rotation matrix", "all"),
    PoseFormat("quaternion", "all", "xyzw", continuous_signs=False),
]


def prepared(folder, clips, pose_format):
    """Write fairmotion's three files; each has the first window of one of the clips."""
    for name, clip in zip(fairmotion.FILES.values(), clips, strict=True):
        window = pose_format.encode(torch.from_numpy(clip.rotations[:144]).double())
        poses = window.flatten(1).numpy()
        written(folder / name, ([poses[:120]], [poses[120:]]))
    return folder


@pytest.mark.parametrize("pose_format", FORMATS, ids=lambda f: f.representation)
def test_a_folder_of_prepared_windows_is_a_corpus(corpus, tmp_path, pose_format):
    read = read_corpus(prepared(tmp_path, corpus.test, pose_format))
    for clips, original in zip(read.splits.values(), corpus.test, strict=True):
        assert len(clips) == 1 and clips[0].fps == 60
        assert np.allclose(clips[0].predicted, original.predicted[:144], atol=1e-5)
    assert prepare(read, MOTION_TRANSFORMER, Scaling()).test.shape == (1, 144, 15, 9)


def test_prepared_windows_in_another_order_or_width_are_refused(corpus, tmp_path):
    prepared(tmp_path, corpus.test, PoseFormat("quaternion", "all", "wxyz"))
    with pytest.raises(InputError, match=r"train.pkl: .*'xyzw'.*probably 'wxyz'"):
        read_corpus(tmp_path)
    written(tmp_path / "train.pkl", ([np.zeros((1, 73))], [np.zeros((1, 73))]))
    with pytest.raises(InputError, match=r"72 \(axis angle\), .* found \(1, 73\) and \(1, 73\)"):
        read_corpus(tmp_path)
    written(tmp_path / "train.pkl", ([np.zeros((1, 72))], [np.zeros((1, 96))]))
    with pytest.raises(InputError, match=r"found \(1, 72\) and \(1, 96\)"):
        read_corpus(tmp_path)
    for no_pair in (([np.zeros((1, 72))], []), (120, 24), [[], []]):
        written(tmp_path / "train.pkl", no_pair)
        with pytest.raises(InputError, match="pair of lists"):
            read_corpus(tmp_path)
