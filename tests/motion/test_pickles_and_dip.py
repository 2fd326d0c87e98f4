import pickle

import numpy as np
import pytest
import torch
from src.motion.formats.dip import read_dip, write_dip
from src.motion.formats.fairmotion import read_windows, write_windows
from src.motion.formats.pickles import read_arrays

from src.common.errors import InputError
from src.motion.body.clip import MotionClip
from src.motion.body.pose_space import FAIRMOTION, PoseFormat
from src.motion.body.rotations import nearest_rotation
from src.motion.body.skeleton import PREDICTED
from src.motion.data.formats import read_motion
from src.motion.data.windows import sliding


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
    return {
        "no poses": ({"pose": good}, "expected a dict with 'poses', found"),
        "a list": ([good], "expected a dict with 'poses', found list"),
        "width": ({"poses": good[:, :72]}, r"\(frames, 135\), got \(10, 72\)"),
        "empty": ({"poses": good[:0]}, r"got \(0, 135\)"),
        "integers": ({"poses": good.astype(int)}, "array of floats, got int64"),
        "objects": ({"poses": np.array([None] * 135)}, "array of floats, got object"),
        "nan": ({"poses": nan}, "1 values that are not finite"),
        "no rotations": ({"poses": good * 0.3}, "3x3 rotations row by row, off by up to 0.9"),
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
    with pytest.raises(InputError, match=r"gone.pkl: no such file"):
        read_dip(tmp_path / "gone.pkl")
    with pytest.raises(InputError, match=r"expected a motion file, one of .pkl"):
        (tmp_path / "a.c3d").write_text("")
        read_motion(tmp_path / "a.c3d")


def test_another_rate_cannot_be_written(corpus, tmp_path):
    with pytest.raises(InputError, match="60 Hz, got 120"):
        write_dip(tmp_path / "a.pkl", MotionClip("x", corpus.test[0].rotations, 120.0))


FORMATS = [
    PoseFormat("axis angle", "all"),
    PoseFormat("rotation matrix", "all"),
    PoseFormat("quaternion", "all", "xyzw", continuous_signs=False),
    PoseFormat("quaternion", "all", "wxyz"),
]


@pytest.mark.parametrize("pose_format", FORMATS)
def test_fairmotions_windows_agree_in_every_representation(corpus, tmp_path, pose_format):
    clip = nearest_rotation(torch.from_numpy(corpus.test[0].rotations).double())
    windows = sliding([clip])
    write_windows(tmp_path / "w.pkl", windows, pose_format, seed=120)
    source, target = read_arrays(tmp_path / "w.pkl")
    assert source[0].shape == (120, 24 * pose_format.channels) and source[0].dtype == np.float64
    assert target[0].shape == (24, 24 * pose_format.channels)
    again = pose_format.decode(read_windows(tmp_path / "w.pkl", pose_format))
    assert (again - windows[:, :, list(PREDICTED)]).abs().max() < 1e-6


def test_fairmotions_windows_in_another_order_or_representation_are_refused(corpus, tmp_path):
    windows = sliding([torch.from_numpy(corpus.test[0].rotations)])
    wxyz, xyzw = (PoseFormat("quaternion", "all", order) for order in ("wxyz", "xyzw"))
    write_windows(tmp_path / "w.pkl", windows, wxyz, seed=120)
    with pytest.raises(InputError, match=r"w.pkl: order 'xyzw'.*probably 'wxyz'"):
        read_windows(tmp_path / "w.pkl", xyzw)
    with pytest.raises(InputError, match=r"expected 72 channels \(axis angle\), got 96 \(quat"):
        read_windows(tmp_path / "w.pkl", FAIRMOTION)
    written(tmp_path / "x.pkl", ([np.zeros((1, 72))], []))
    with pytest.raises(InputError, match="pair of lists"):
        read_windows(tmp_path / "x.pkl", FAIRMOTION)
