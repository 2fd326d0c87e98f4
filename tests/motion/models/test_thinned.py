"""Forecasts at 10 frames a second, seen as forecasts at 60."""

import torch

from src.motion.models.forecaster import Forecaster
from src.motion.models.thinned import Thinned


class Steady(Forecaster):
    """Goes on as between the last two frames; keeps what it was given."""

    def teach(self, frames, truth, progress):
        return frames, truth

    def next_frames(self, window):
        self.seen = window
        change = window[:, -1:] - window[:, -2:-1]
        return window[:, -1:] + change * torch.arange(1, self.step + 1)[:, None, None]


def test_a_straight_line_goes_on_through_kept_and_interpolated_frames():
    model = Thinned(Steady(window=3, step=2), every=6)
    assert (model.window, model.step, model.span) == (18, 12, 30)
    line = torch.arange(160.0)[None, :, None, None].expand(1, -1, 2, 3)
    made = model.forecast(line[:, :120], 40)  # three whole steps and a part of the fourth
    assert torch.allclose(made, line[:, 120:])
    assert model.inner.seen.shape[1] == 3


def test_kept_frames_are_every_sixth_up_to_the_last():
    model = Thinned(Steady(window=20, step=4), every=6)
    frames = torch.arange(144.0)[None, :, None, None]
    kept, truth = model.teach(frames, frames, 0.0)
    assert kept.flatten().tolist() == list(range(5, 144, 6)) == truth.flatten().tolist()
    assert 119 in kept.flatten().tolist()  # the last of the seed
