import numpy as np
import pytest
import torch

from src.common.errors import InputError
from src.motion.data import windows
from src.motion.data.corpus import evaluation_windows
from src.motion.data.sampling import WindowSampler


def clip(frames, start=0):
    """Frames that tell their own number: (T, 1, 1)."""
    return torch.arange(start, start + frames, dtype=torch.float32)[:, None, None]


def firsts(cut):
    return cut[:, 0, 0, 0].int().tolist()


# Windows hold 180 frames every 120, of which the first 144 are kept.
FAIRMOTIONS = [2000, 3000, 3120, 3240]


@pytest.mark.parametrize(
    ("cut", "valid", "test"),
    [
        ("every 60", *[[0, 1000, 2000, *range(3000, 3241, 60), 4000]] * 2),
        ("fairmotion", FAIRMOTIONS, FAIRMOTIONS),
        ("motion-transformer", [2018, 3138], FAIRMOTIONS),  # the centre: (180 - 144) / 2
    ],
)
def test_evaluation_windows_are_cut_as_the_corpus_or_a_published_code_base(cut, valid, test):
    clips = [clip(144), clip(179, 1000), clip(180, 2000), clip(420, 3000), clip(144, 4000)]
    for split, starts in (("valid", valid), ("test", test)):
        made = evaluation_windows(clips, cut, split)
        assert firsts(made) == starts and made.shape[1:] == (144, 1, 1)
        assert (made.diff(dim=1) == 1).all()


def test_no_window_is_an_empty_batch_of_the_right_shape():
    assert windows.sliding([clip(10)]).shape == (0, 144, 1, 1)


CLIPS = [clip(50), clip(9, 1000), clip(30, 2000), clip(400, 3000)]


def sampler(sampling, span=10, batch=4, seed=0, truths=None):
    return WindowSampler(CLIPS, truths, span, batch, sampling, seed)


@pytest.mark.parametrize("sampling", ["uniform", "one per clip", "fixed"])
def test_windows_never_cross_from_one_clip_to_the_next(sampling):
    draw = sampler(sampling)
    for step in range(50):
        frames, truth = draw(step)
        assert frames.shape == (4, 10, 1, 1)
        assert (frames.diff(dim=1) == 1).all()
        assert torch.equal(frames, truth)


@pytest.mark.parametrize("sampling", ["uniform", "one per clip", "fixed"])
def test_a_steps_windows_depend_on_seed_and_step_only(sampling):
    """So a training that goes on at step 7 sees what an unbroken one would have seen."""
    clips = [clip(2000), clip(1500, 5000)]
    one, other, reseeded = (WindowSampler(clips, None, 10, 4, sampling, s) for s in (0, 0, 1))
    for step in (3, 1):
        other(step)
    assert torch.equal(one(7)[0], other(7)[0])
    assert any(not torch.equal(one(n)[0], reseeded(n)[0]) for n in range(4))


def test_uniform_sampling_weighs_windows_alike():
    """Of 41 + 21 + 391 windows; the clip of nine frames has none."""
    draw = sampler("uniform", batch=4000)
    starts = draw(0)[0][:, 0, 0, 0]
    shares = np.bincount(starts.int() // 1000, minlength=4) / 4000
    expected = np.array([41, 0, 21, 391]) / 453
    assert np.allclose(shares, expected, atol=0.02)  # three standard deviations of 4000 draws
    assert starts.max() == 3390 and starts.min() >= 0


def test_one_per_clip_takes_every_long_enough_clip_once_an_epoch():
    draw = sampler("one per clip", batch=3)
    for epoch in range(5):
        starts = draw(epoch)[0][:, 0, 0, 0]
        assert sorted((starts // 1000).int().tolist()) == [0, 2, 3]
    epochs = torch.stack([draw(n)[0][:, 0, 0, 0].sort().values for n in range(20)])
    assert (epochs.std(0) > 0).all()  # another window every epoch


def test_fixed_windows_are_fairmotions():
    draw = WindowSampler([clip(400)], None, 144, 2, "fixed", 0)
    assert sorted(firsts(draw(0)[0])) == [0, 120]  # 240 + 180 > 400


def test_truths_are_cut_like_frames():
    truths = [c.clone() for c in CLIPS]
    for truth in truths:
        truth[::3] = torch.nan
    frames, truth = sampler("uniform", truths=truths)(0)
    seen = truth.isfinite()
    assert not seen.all() and torch.equal(frames[seen], truth[seen])


def test_clips_that_are_too_short_are_refused_by_length():
    with pytest.raises(InputError, match=r"of 1000 frames.*the longest of 4 has 400"):
        sampler("uniform", span=1000)
