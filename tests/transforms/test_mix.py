"""Mixup: how often, with whom, how much, and what becomes of the targets."""

import numpy as np
import pytest
import torch
from scipy import stats

from src.transforms.mix import ManifoldMixup, Pairs, PointMixup, WindowMixup
from tests.transforms.conftest import numbered


def pairs_of(partner: list[int], share: list[float], then: Pairs | None = None) -> Pairs:
    return Pairs(torch.tensor(partner), torch.tensor(share), then)


@pytest.mark.parametrize(
    ("epoch", "rising", "falling"),
    [(0, 0.0, 0.5), (9, 0.05, 0.45), (45, 0.25, 0.25), (90, 0.5, 0.0), (99, 0.55, 0.0)],
)
def test_probability_is_the_published_one_at_epochs_of_100(epoch, rising, falling):
    """recognition.md 3.3: 0.5 epoch / (0.9 n_epochs), and the code's 0.5 (1 - that), at least 0."""
    document = ManifoldMixup(p=0.5, alpha=0.4, span=0.9)
    code = ManifoldMixup(p=0.5, alpha=0.4, span=0.9, falling=True)
    assert document.probability(epoch / 100) == pytest.approx(rising)
    assert code.probability(epoch / 100) == pytest.approx(falling)


@pytest.mark.parametrize(
    ("mixup", "p"), [(ManifoldMixup(0.5, alpha=0.4, span=0.9), 0.25), (PointMixup(0.3, 0.4), 0.3)]
)
def test_batches_are_mixed_as_often_as_said_by_shares_from_beta(mixup, p, draw):
    """With anybody; by one share for the whole batch, or by one for each clip."""
    step = draw(progress=0.45)
    drawn = [mixup.pairs(4, step) for _ in range(4000)]
    mixed = [pairs for pairs in drawn if pairs is not None]
    assert abs(len(mixed) - 4000 * p) < 4 * (4000 * p * (1 - p)) ** 0.5
    assert all(sorted(pairs.partner.tolist()) == [0, 1, 2, 3] for pairs in mixed)
    n_shares = 1 if isinstance(mixup, PointMixup) else 4
    assert all(len(pairs.share.unique()) == n_shares for pairs in mixed[:100])
    share = np.array([pairs.share[0].item() for pairs in mixed])
    # Float32 rounds what is within 1e-7 of 0 or 1 onto them; there the density is infinite.
    inside = share[(share > 1e-6) & (share < 1 - 1e-6)]
    assert stats.kstest(inside, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


# --- windows ------------------------------------------------------------------------------------


def telling_clips(lengths: list[int], n_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features whose x tells the frame and whose y tells the clip; padding is garbage."""
    clips = numbered(lengths, n_frames)
    return torch.where(clips.mask[..., None, None], clips.xyz[..., :2] + 1, 1e6), clips.mask


@pytest.mark.parametrize(("n", "clips"), [(7, 3), (1, 2), (1, 3), (2, 3), (3, 4), (2, 5)])
def test_by_windows_every_batch_is_mixed_and_no_clip_with_itself(n, clips, draw):
    for seed in range(20):
        for pairs in WindowMixup(0.5, clips=clips).pairs(n, draw(seed)):
            other = pairs.partner != torch.arange(n)
            assert sorted(pairs.partner.tolist()) == list(range(n))
            assert other.all() if n >= clips else (other | (pairs.share == 1)).all()


def test_a_share_over_999_in_1000_leaves_the_clip_alone(draw):
    pairs = WindowMixup(0.5).pairs(4000, draw())
    assert ((pairs.share == 1.0) | (pairs.share <= 0.999)).all() and (pairs.share == 1.0).any()
    x, mask = telling_clips([3, 9], 10)
    alone = pairs_of([1, 0], [1.0, 1.0])
    mixed, mixed_mask = WindowMixup(0.5).inputs(x, mask, alone, draw())
    assert torch.equal(mixed, x) and torch.equal(mixed_mask, mask)


def test_mixed_frames_by_hand(draw):
    """Lengths 8 and 3: the shorter one meets all windows of the longer, and the other way round."""
    x, mask = telling_clips([8, 3], 10)
    pairs = pairs_of([1, 0], [0.75, 0.6])
    starts, partner_starts = set(), set()
    for seed in range(60):
        mixed, real = WindowMixup(0.5).inputs(x, mask, pairs, draw(seed))
        (own,) = real[0].nonzero().T
        assert own.tolist() == list(range(own[0], own[0] + 3))  # the window both have, in place
        starts.add(int(own[0]))
        expected = 0.75 * (own + 1) + 0.25 * torch.arange(1, 4)
        torch.testing.assert_close(mixed[0, own, 0, 0], expected)
        torch.testing.assert_close(mixed[0, own, 0, 1], torch.full((3,), 0.75 * 1 + 0.25 * 2))

        assert real[1].tolist() == [True] * 3 + [False] * 7  # the shorter clip keeps its frames
        partner = (mixed[1, :3, 0, 0] - 0.6 * torch.arange(1, 4)) / 0.4  # frames of the longer one
        torch.testing.assert_close(partner.diff(), torch.ones(2))
        partner_starts.add(round(float(partner[0])) - 1)
    assert starts == partner_starts == set(range(6))


@pytest.mark.parametrize("fill", [0.0, -1e6, float("inf")])
def test_padding_never_enters_a_mixed_frame(fill, draw):
    x, mask = telling_clips([1, 9, 4, 6], 9)
    pairs = WindowMixup(0.5).pairs(4, draw())
    expected, real = WindowMixup(0.5).inputs(x, mask, pairs, draw(1))
    other = torch.where(mask[..., None, None], x, fill)
    mixed, other_real = WindowMixup(0.5).inputs(other, mask, pairs, draw(1))
    assert torch.equal(real, other_real) and real.any(1).all()
    assert torch.equal(mixed[real], expected[real])


# --- more than two ------------------------------------------------------------------------------


@pytest.mark.parametrize("clips", [2, 3, 5])
def test_shares_of_a_mixture_are_a_sorted_dirichlet_draw(clips, draw):
    """Targets become a convex combination, a clip's own share the largest; of two clips, in
    recognition.md 2.3: max(s, 1 - s), s from Beta(0.5, 0.5)."""
    pairs = WindowMixup(0.5, clips=clips, whole=1.0).pairs(1000, draw())
    assert len(list(pairs)) == clips - 1
    soft = pairs.target(torch.eye(1000))
    torch.testing.assert_close(soft.sum(1), torch.ones(1000))
    own = soft.diagonal()
    assert (own >= soft.amax(1) - 1e-6).all()
    largest = np.random.default_rng(0).dirichlet([0.5] * clips, 100_000).max(1)
    assert stats.ks_2samp(own.numpy(), largest).pvalue > 0.01


def test_three_clips_by_hand(draw):
    pairs = pairs_of([1, 2, 0], [0.5] * 3, pairs_of([2, 0, 1], [0.8] * 3))
    for seed in range(20):  # a mixture is real where all its clips are
        x, mask = telling_clips([9, 7, 3], 9)
        _, real = WindowMixup(0.5, clips=3).inputs(x, mask, pairs, draw(seed))
        assert real.sum(1).tolist() == [3, 3, 3] and not (real & ~mask).any()
    x, mask = telling_clips([6, 6, 6], 6)
    mixed, real = WindowMixup(0.5, clips=3).inputs(x, mask, pairs, draw())
    assert torch.equal(real, mask)
    expected = 0.4 * x + 0.4 * x[[1, 2, 0]] + 0.2 * x[[2, 0, 1]]
    torch.testing.assert_close(mixed, expected)
    target = pairs.target(torch.eye(3))
    torch.testing.assert_close(target[0], torch.tensor([0.4, 0.4, 0.2]))


# --- aligned ------------------------------------------------------------------------------------


@pytest.fixture
def poses() -> torch.Tensor:
    """One clip of 6 frames and 5 points about the origin, one of them missing now and then."""
    x = torch.randn(1, 6, 5, 2, generator=torch.Generator().manual_seed(0))
    x[0, 2:4, 1] = 0
    return x


@pytest.mark.parametrize("align", ["similarity", "linear"])
def test_aligned_is_numpys_least_squares(poses, align, draw):
    """Similarity: of the two unknowns a and b in (a x - b y, b x + a y)."""
    other = torch.randn(poses.shape, generator=torch.Generator().manual_seed(1))
    x, pairs = torch.cat([poses, other]), pairs_of([1, 0], [0.5, 0.5])
    mask = torch.ones(2, 6, dtype=torch.bool)
    mixed, _ = WindowMixup(0.5, align=align).inputs(x, mask, pairs, draw())
    both = (poses[0] != 0).any(-1)
    source, goal = other[0][both].numpy(), poses[0][both].numpy()
    if align == "linear":
        weights, *_ = np.linalg.lstsq(source, goal, rcond=None)
    else:
        columns = np.stack([source.ravel(), (source @ [[0, 1], [-1, 0]]).ravel()], 1)
        (a, b), *_ = np.linalg.lstsq(columns, goal.ravel(), rcond=None)
        weights = np.array([[a, b], [-b, a]])
    expected = 0.5 * poses[0].numpy() + 0.5 * other[0].numpy() @ weights
    np.testing.assert_allclose(mixed[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("align", ["similarity", "linear"])
def test_aligning_leaves_missing_points_missing_and_strangers_in_place(poses, align, draw):
    """A partner with no point in common keeps its places, as without aligning."""
    other = 1.7 * poses.flip(-1)
    apart = poses.clone()
    apart[:, :, :3], other[:, :, 3:] = 0, 0
    x, mask = torch.cat([apart, other]), torch.ones(2, 6, dtype=torch.bool)
    pairs = pairs_of([1, 0], [0.6, 0.7])
    mixed, _ = WindowMixup(0.5, align=align).inputs(x, mask, pairs, draw())
    plain, _ = WindowMixup(0.5).inputs(x, mask, pairs, draw())
    assert torch.equal(mixed, plain) and mixed.isfinite().all()
    both_missing = (x == 0).all(-1).all(0)
    assert both_missing.any() and (mixed[:, both_missing] == 0).all()


# --- PointMixup ---------------------------------------------------------------------------------


def test_points_are_mixed_where_both_are_and_taken_whole_where_one_is(draw):
    """Slovo, recognition.md 4.4, by hand: one clip is whole, one has gaps, one is padded."""
    own = torch.randn(3, 5, 4, 3, generator=torch.Generator().manual_seed(2))
    own[1, :, 2], own[1, 3], own[2, 3:] = 0, 0, 0
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[2, 3:] = False
    x, partner = torch.where(mask[..., None, None], own, 1e6), [1, 2, 0]
    mixed, real = PointMixup(1.0, 0.2).inputs(x, mask, pairs_of(partner, [0.3] * 3), draw())
    other = own[partner]
    both = own.any(-1, keepdim=True) & other.any(-1, keepdim=True)
    # Where one of them is missing, it is 0 and the sum is the other.
    torch.testing.assert_close(mixed, torch.where(both, 0.3 * own + 0.7 * other, own + other))
    assert torch.equal(real, mask | mask[partner])
