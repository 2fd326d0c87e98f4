import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from src.common.errors import InputError
from src.motion.body.clip import MotionClip
from src.motion.data.resample import resample


def clip(frames, fps, seed=0):
    """Random rotations: neighbours up to 180 degrees apart, the hardest case for slerp."""
    random = Rotation.random(frames * 24, random_state=seed).as_matrix()
    return MotionClip("c", random.reshape(frames, 24, 3, 3).astype(np.float32), fps)


@pytest.mark.parametrize("fps,step", [(60.0, 1), (120.0, 2), (240.0, 4)])
def test_a_whole_multiple_picks_frames(fps, step):
    original = clip(31, fps)
    made = resample(original)
    assert made.fps == 60
    assert np.array_equal(made.rotations, original.rotations[::step])


@pytest.mark.parametrize("fps", [100.0, 50.0, 30.0, 59.94])
def test_any_other_rate_is_scipys_slerp(fps):
    original = clip(40, fps)
    made = resample(original)
    times = np.arange(len(made)) / 60
    assert times[-1] <= 39 / fps + 1e-9 < times[-1] + 1 / 60
    for joint in (0, 7, 23):
        slerp = Slerp(np.arange(40) / fps, Rotation.from_matrix(original.rotations[:, joint]))
        expected = slerp(np.minimum(times, 39 / fps)).as_matrix()
        # float32 input is not quite orthonormal: 1e-7 an entry, more near half turns
        assert np.abs(made.rotations[:, joint] - expected).max() < 2e-5


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e-5, np.nan, np.inf])
def test_an_impossible_rate_is_refused(fps):
    with pytest.raises(InputError, match="c: expected at least 1 frame a second"):
        resample(clip(4, fps))


def test_a_single_frame_survives():
    assert len(resample(clip(1, 100.0))) == 1
