import numpy as np
import torch
from scipy.spatial.transform import Rotation
from sklearn.linear_model import Ridge as SklearnRidge

from src.motion.study import bars


def test_zero_velocity_holds_the_last_frame():
    seed = torch.randn(2, 5, 3, 4)
    made = bars.zero_velocity(seed, 7)
    assert made.shape == (2, 7, 3, 4)
    assert torch.equal(made[:, 0], seed[:, -1]) and torch.equal(made[:, -1], seed[:, -1])


def test_constant_velocity_goes_on_turning():
    """A joint that turns by 0.1 rad a frame about a fixed axis is forecast exactly."""
    angle = np.arange(10) * 0.1
    turn = Rotation.from_rotvec(angle[:, None] * np.array([[0.6, 0.0, 0.8]])).as_matrix()
    motion = torch.from_numpy(turn)[None, :, None]
    made = bars.constant_velocity(motion[:, :4], 6)
    assert torch.allclose(made, motion[:, 4:], atol=1e-9)


def test_ridge_is_sklearns_with_a_penalised_constant(rng):
    windows = torch.from_numpy(rng.normal(size=(60, 20, 2, 3)))
    ours = bars.Ridge.fit(windows, target=4, frames=5, penalty=3.0)
    new = torch.from_numpy(rng.normal(size=(7, 16, 2, 3)))

    def features(seed):
        last = seed[:, -1:]
        past = (seed[:, -5:] - last).reshape(len(seed), -1)
        return np.concatenate([past, last.reshape(len(seed), -1), np.ones((len(seed), 1))], 1)

    seed, target = windows[:, :16].numpy(), windows[:, 16:].numpy()
    theirs = SklearnRidge(alpha=3.0, fit_intercept=False)
    theirs.fit(features(seed), (target - seed[:, -1:]).reshape(60, -1))
    expected = new.numpy()[:, -1:] + theirs.predict(features(new.numpy())).reshape(7, 4, 2, 3)
    assert np.allclose(ours(new), expected, atol=1e-9)
