"""Hiding a stretch of time or a box of the image: what becomes NaN, and that nothing else does."""

import numpy as np
import pytest
import torch
from scipy import stats

from src.clips import Clips
from src.transforms.augment.hide import HideBox, HideFrames, HidePoints
from tests.transforms.conftest import still

MANY = 4000


def full(length: int) -> Clips:
    """Clips in which everything is seen, at the middle of the image."""
    return still([[0.5, 0.5, 0.5]] * 2, MANY, length)


def hidden_frames(clips: Clips) -> np.ndarray:
    """(B, T) True where every point is missing."""
    return clips.xyz.isnan().flatten(2).all(-1).numpy()


def test_one_stretch_of_whole_frames_is_hidden(layout, draw):
    out = HideFrames(1.0, 0.2, 0.4)(full(30), layout, draw())
    hidden = hidden_frames(out)
    np.testing.assert_array_equal(hidden, out.xyz.isnan().flatten(2).any(-1).numpy())
    edges = np.diff(hidden.astype(int), axis=1, prepend=0, append=0)
    assert ((edges == 1).sum(1) == 1).all()  # one beginning
    # anchors.md: 20 to 40 % of the frames, rounded down.
    assert set(hidden.sum(1)) == set(range(6, 12))


def test_the_stretch_starts_anywhere(layout, draw):
    """At the published size 6 of 30 frames it starts at 0 to 23, all as likely."""
    out = HideFrames(1.0, 0.2, 0.2 + 1e-6)(full(30), layout, draw())
    start = hidden_frames(out).argmax(1)
    assert stats.chisquare(np.bincount(start, minlength=24)).pvalue > 0.01


def test_the_hidden_points_fill_a_square(layout, draw):
    """Of 101 x 101 points that cover the image and a margin of half of it."""
    line = torch.linspace(-0.5, 1.5, 101)
    y, x = torch.meshgrid(line, line, indexing="ij")
    clips = still(torch.stack([x, y, torch.zeros_like(x)], -1).flatten(0, 1), 200, n_frames=2)
    out = HideBox(1.0, 0.2, 0.4)(clips, layout, draw())
    hidden = out.xyz.isnan().all(-1).view(200, 2, 101, 101).numpy()
    np.testing.assert_array_equal(hidden[:, 0], hidden[:, 1])  # the same in every frame
    step = 2 / 100
    sides, corners = [], []
    for box in hidden[:, 0]:
        rows, columns = box.any(1).nonzero()[0], box.any(0).nonzero()[0]
        assert box.sum() == len(rows) * len(columns) and box[rows[0] : rows[-1] + 1].any(1).all()
        assert abs(len(rows) - len(columns)) <= 1  # a square, to the grid
        sides.append(len(rows) * step)
        corners += [rows[0] * step - 0.5, columns[0] * step - 0.5]
    assert 0.2 - step <= min(sides) < 0.22 and 0.38 < max(sides) <= 0.4 + step
    assert -step <= min(corners) < 0.05 and 0.95 < max(corners) <= 1 + step


def test_corner_and_side_are_uniform(layout, draw):
    """How often a point is hidden, of all boxes, in closed form.

    It is hidden along x where corner < x < corner + side: probability E[min(x, side)] for x < 0.6,
    and both axes share the side; at (0.5, 0.5) that is E[side^2], at (0.1, 0.1) it is 0.1^2.
    """
    clips = full(1)
    clips.xyz[:, :, 1] = 0.1
    missing = HideBox(1.0, 0.2, 0.4)(clips, layout, draw()).xyz.isnan().all(-1)[:, 0]
    expected = (0.4**3 - 0.2**3) / 3 / 0.2, 0.1**2
    for share, p in zip(missing.float().mean(0).tolist(), expected, strict=True):
        assert abs(share - p) < 4 * (p * (1 - p) / MANY) ** 0.5  # four standard deviations


def test_points_are_hidden_as_often_as_said(layout, draw):
    out = HidePoints(1.0, share=0.3)(still([[0, 0, 0]] * len(layout), 200), layout, draw())
    hidden = out.xyz[:, 0, :, 0].isnan().float()
    # Four standard deviations.
    assert hidden.mean().item() == pytest.approx(0.3, abs=4 * (0.21 / hidden.numel()) ** 0.5)


@pytest.mark.parametrize(
    "at", [HidePoints(1.0, 0.3), HideFrames(1.0, 0.2, 0.4), HideBox(1.0, 0.2, 0.4)]
)
def test_something_is_hidden_and_what_is_not_keeps_its_bits(clips, layout, draw, at):
    out = at(clips, layout, draw())
    lost, kept = out.xyz.isnan() & ~clips.xyz.isnan(), ~out.xyz.isnan()
    assert lost.any() and torch.equal(out.xyz[kept], clips.xyz[kept])
    if isinstance(at, HideFrames):  # both hands, lips, all of it
        assert out.xyz[lost.flatten(2).any(-1)].isnan().all()
    if isinstance(at, HidePoints):  # in the whole clip
        seen = (~clips.xyz.isnan()).any(1)  # (B, L, 3)
        assert torch.equal(lost.any(1), seen & out.xyz.isnan().all(1))
