import pytest
import torch

from src.common.errors import InputError
from src.motion.models.mixer import Config, Mixer

SMALL = Config(width=16, layers=2, window=6, frames_per_step=4)


def trained(joints=15, channels=9):
    """A network whose output is not zero."""
    model = Mixer(SMALL, joints, channels)
    torch.nn.init.normal_(model.output.weight)
    return model


def test_it_begins_as_zero_velocity_and_is_taught_on_what_follows_the_window():
    window = torch.arange(10.0)[None, :, None, None].expand(1, -1, 15, 9)
    predicted, truth = Mixer(SMALL, 15, 9).teach(window, window, 0.0)
    assert truth[0, :, 0, 0].tolist() == [6, 7, 8, 9] and (predicted == 5).all()


@pytest.mark.parametrize("frame", range(6))
def test_every_frame_counts_and_none_before_the_window(frame):
    model, seed = trained(), torch.randn(2, 9, 15, 9)
    changed = seed.clone()
    changed[:, 3 + frame] += 1
    assert not torch.allclose(model.forecast(seed, 4), model.forecast(changed, 4))
    changed = seed.clone()
    changed[:, :3] += 1
    assert torch.equal(model.forecast(seed, 4), model.forecast(changed, 4))


def test_windows_do_not_mix_and_a_short_one_is_refused():
    model, seeds = trained(), torch.randn(2, 6, 15, 9)
    assert torch.allclose(model.next_frames(seeds)[1:], model.next_frames(seeds[1:]), atol=1e-6)
    with pytest.raises(InputError, match=r"expected 6 frames to forecast from.*got 3"):
        model.forecast(seeds[:, :3], 1)
