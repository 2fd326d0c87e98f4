from dataclasses import replace

import pytest
import torch

from src.motion.models.mixer import Config, Mixer
from src.motion.models.st_conv import StConv
from tests.motion.models import test_st_conv

SMALL = Config(width=16, layers=2, window=6, frames_per_step=4)
STILL = replace(test_st_conv.SMALL, frames_per_step=4, start_still=True)


def trained(joints=15, channels=9):
    """A network whose output is not zero."""
    model = Mixer(SMALL, joints, channels)
    torch.nn.init.normal_(model.output.weight)
    return model


@pytest.mark.parametrize(
    "model", [Mixer(SMALL, 15, 9), StConv(STILL, 15, 9)], ids=["mixer", "conv"]
)
def test_a_network_of_whole_windows_begins_still_and_is_taught_on_what_follows_them(model):
    """It sees the whole window at once, so a target within it could be copied."""
    n = model.window
    window = torch.arange(n + 4.0)[None, :, None, None].expand(1, -1, 15, 9)
    predicted, truth = model.teach(window, window, 0.0)
    assert truth[0, :, 0, 0].tolist() == [n, n + 1, n + 2, n + 3]
    assert (predicted == n - 1).all()  # zero velocity from the last frame of the window
    assert model.forecast(torch.randn(1, 30, 15, 9), 7).shape == (1, 7, 15, 9)


@pytest.mark.parametrize("frame", range(9))
def test_every_frame_of_the_window_counts_and_none_before_it(frame):
    model, seed = trained(), torch.randn(2, 9, 15, 9)
    changed = seed.clone()
    changed[:, frame] += 1
    apart = (model.forecast(seed, 4) - model.forecast(changed, 4)).abs().max()
    assert apart == 0 if frame < 3 else apart > 1e-3


def test_windows_do_not_mix():
    model, seeds = trained(), torch.randn(2, 6, 15, 9)
    assert torch.allclose(model.next_frames(seeds)[1:], model.next_frames(seeds[1:]), atol=1e-6)
