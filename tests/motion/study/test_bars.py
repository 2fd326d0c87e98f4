import numpy as np
import torch
from scipy.spatial.transform import Rotation
from sklearn.linear_model import Ridge

from src.motion.study import bars


def test_zero_velocity_holds_the_last_frame():
    seed = torch.randn(2, 5, 3, 4)
    assert torch.equal(bars.zero_velocity(seed, 7), seed[:, -1:].expand(-1, 7, -1, -1))


def test_constant_velocity_goes_on_turning():
    """A joint that turns by 0.1 rad a frame about a fixed axis is forecast exactly."""
    turn = Rotation.from_rotvec(0.1 * np.outer(np.arange(10), [0.6, 0.0, 0.8])).as_matrix()
    motion = torch.from_numpy(turn)[None, :, None]
    made = bars.constant_velocity(motion[:, :4], 6)
    assert torch.allclose(made, motion[:, 4:], atol=1e-9)


def test_ridge_is_scikit_learns_with_a_penalised_constant(rng):
    """Of ten frames as offsets from the last, the last, and 1; of more windows than one part."""
    windows, new = (torch.from_numpy(rng.normal(size=(n, 20, 2, 3))) for n in (600, 7))

    def features(seed):
        last = seed[:, -1:]
        parts = (seed[:, -10:] - last, last, torch.ones(len(seed), 1))
        return torch.cat([part.flatten(1) for part in parts], 1)

    seed, target = windows[:, :16], windows[:, 16:]
    x, y = features(seed), (target - seed[:, -1:]).flatten(1)
    model = Ridge(alpha=3.0, fit_intercept=False).fit(x.numpy(), y.numpy())
    offsets = torch.from_numpy(model.predict(features(new[:, :16]).numpy()))
    expected = new[:, 15:16] + offsets.view(7, 4, 2, 3)
    ours = bars.ridge(windows, new[:, :16], 4)
    assert torch.allclose(ours, expected, atol=1e-9)
