"""Batches: prepared once, gathered exactly, planned without loss and with little padding."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from src.dataset.batches import ClipSet, donors, plan, prepare
from src.dataset.store import Store, build
from src.recipes import landmark_union
from src.recipes.frame_deberta import A, B


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(nan=1e9), b.nan_to_num(nan=1e9))


@pytest.fixture
def store(competition, tmp_path) -> Store:
    return build(competition, tmp_path, landmark_union(), workers=1)


# --- prepare ------------------------------------------------------------------------------------


def test_prepared_clips_are_what_the_recipe_reads(store):
    prepared = prepare(store, A.read, A.key)
    assert len(prepared) == len(store)
    for i, frames in enumerate(prepared.real_frames()):
        expected = A.read(torch.from_numpy(store.clip(i)), store.landmarks)
        assert same(frames, expected.half().float())
    assert prepared.label.tolist() == store.clips.label.tolist()
    assert len(prepared.frames) == prepared.length.sum()


def test_prepare_runs_once_per_key(store):
    first = prepare(store, A.read, A.key)

    def never(rows: Tensor, landmarks: object) -> Tensor:
        raise AssertionError("this was prepared before")

    again = prepare(store, never, A.key)
    assert same(again.frames.float(), first.frames.float())
    assert again.length.tolist() == first.length.tolist()
    with pytest.raises(AssertionError, match="prepared before"):
        prepare(store, never, B.key)


def test_an_interrupted_prepare_is_begun_anew(store):
    calls = []

    def stops_at_the_fifth(rows: Tensor, landmarks: tuple[int, ...]) -> Tensor:
        calls.append(rows)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return A.read(rows, landmarks)

    with pytest.raises(KeyboardInterrupt):
        prepare(store, stops_at_the_fifth, "other key")
    whole = prepare(store, A.read, "other key")
    assert same(whole.frames.float(), prepare(store, A.read, A.key).frames.float())


def test_training_does_not_write_into_the_kept_file(store):
    prepare(store, A.read, A.key).frames.zero_()
    assert prepare(store, A.read, A.key).frames.nan_to_num().abs().sum() > 0


# --- ClipSet ------------------------------------------------------------------------------------

LENGTHS = np.array([3, 1, 7, 2, 5])


@pytest.fixture
def clip_set() -> ClipSet:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(int(LENGTHS.sum()), 4, 3, generator=generator).half()
    frames[torch.rand(len(frames), 4, generator=generator) < 0.3] = torch.nan
    label = np.array([5, 6, 7, 8, 9])
    return ClipSet(frames, np.cumsum(LENGTHS) - LENGTHS, LENGTHS, label, np.arange(5))


@pytest.mark.parametrize("index", [[0, 1, 2, 3, 4], [4, 1], [2, 2, 2], [1]])
@pytest.mark.parametrize("n_frames", [7, 12])
def test_gathered_clips_are_the_stored_ones(clip_set, index, n_frames):
    clips = clip_set.gather(torch.tensor(index), n_frames)
    assert clips.xyz.shape == (len(index), n_frames, 4, 3) and clips.xyz.dtype == torch.float32
    for row, i in enumerate(index):
        start, length = clip_set.offset[i], clip_set.length[i]
        assert same(clips.xyz[row, :length], clip_set.frames[start : start + length].float())
        assert clips.mask[row].tolist() == [True] * length + [False] * (n_frames - length)
    assert clips.label.tolist() == [5 + i for i in index]


def test_subset_shares_the_frames(clip_set):
    part = clip_set.subset(np.array([4, 2]))
    assert part.frames is clip_set.frames and len(part) == 2
    clips, expected = part.gather(torch.tensor([0, 1]), 7), clip_set.gather(torch.tensor([4, 2]), 7)
    assert same(clips.xyz, expected.xyz) and clips.label.tolist() == [9, 7]


# --- plan ---------------------------------------------------------------------------------------

SIZES = {"n": st.integers(1, 400), "batch_size": st.integers(1, 40), "seed": st.integers(0, 99)}


def lengths(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(1, 80, n)


@settings(max_examples=80, deadline=None)
@given(**SIZES)
def test_drop_last_leaves_out_less_than_a_batch(n, batch_size, seed):
    batches = list(plan(lengths(n), batch_size, np.random.default_rng(seed)))
    planned = np.concatenate(batches)
    assert len(set(planned)) == len(planned)
    if n >= batch_size:
        assert {len(batch) for batch in batches} == {batch_size}
        assert n - len(planned) < batch_size
    else:
        assert len(batches) == 1 and len(planned) == n


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_evaluation_sorts_everything_by_length(n, batch_size, seed):
    length = lengths(n)
    order = np.concatenate(list(plan(length, batch_size, None)))
    assert sorted(order) == list(range(n)) and (np.diff(length[order]) >= 0).all()


def test_epochs_are_as_random_as_their_generator():
    length = lengths(1000)
    first, again, other = (
        list(plan(length, 10, np.random.default_rng(seed))) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    # Other company in another epoch: few pairs of neighbours stay together.
    company = [{frozenset(pair) for b in e for pair in pairwise(b)} for e in (first, other)]
    assert len(company[0] & company[1]) < 100


def test_long_and_short_batches_come_in_any_order():
    """Sorted by length within a window, but not over the epoch."""
    length = np.repeat([10, 70], 320)
    starts = [next(plan(length, 32, np.random.default_rng(seed))) for seed in range(40)]
    assert 10 < sum(length[batch].mean() < 40 for batch in starts) < 30


def test_a_batch_sees_one_length_some_or_all():
    """Sorted, in a window, random: the spread of a batch's lengths, against that of all clips."""
    length = np.random.default_rng(0).integers(1, 200, 3200)
    spreads = [
        np.mean([length[b].std() for b in plan(length, 32, np.random.default_rng(0), window)])
        for window in (0, 10, 1)
    ]
    assert spreads[0] < 1 < spreads[1] < 10 and spreads[2] > 0.9 * length.std()


@pytest.mark.reference
@pytest.mark.parametrize("recipe", [A, B], ids=["A", "B"])
def test_little_is_padded_at_genuine_lengths(tmp_path, recipe, reference):
    """10,000 clips with the lengths that the genuine clips have after the recipe's clip steps."""
    store = build(reference("asl_signs"), tmp_path, recipe.layout.sources, workers=1)
    length = np.random.default_rng(0).choice(prepare(store, recipe.read, "k").length, 10_000)
    batches = list(plan(length, 32, np.random.default_rng(0)))
    padded = sum(length[batch].max() * len(batch) for batch in batches)
    share = 1 - sum(length[batch].sum() for batch in batches) / padded
    assert share < 0.10
    unsorted = 1 - length.mean() / length.reshape(-1, 25).max(1).mean()
    assert share < unsorted / 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60),
    st.integers(0, 99),
)
def test_donors_are_other_signers_clips_of_the_same_sign(clips, seed):
    label, signer = np.array(clips).T
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(label), 40)
    donor = donors(signed_by(label, signer), index, rng)
    for own, other in zip(index, donor, strict=True):
        same_sign = np.flatnonzero(label == label[own])
        by_others = same_sign[signer[same_sign] != signer[own]]
        besides = same_sign[same_sign != own]
        allowed = next((x for x in (by_others, besides) if len(x)), [own])
        assert other in allowed


@pytest.mark.parametrize(
    ("signer", "allowed"),
    [([1, 0, 2, 0, 0, 2, 3], [0, 2, 5, 6]), ([1] * 7, [0, 2, 5, 6]), ([0, 0, 0, 0, 0, 1, 0], [5])],
    ids=["other signers", "nobody else", "one other signer"],
)
def test_every_clip_that_may_donate_does_so_equally_often(signer, allowed):
    label = np.array([1, 0, 1, 1, 0, 1, 1])
    clips = signed_by(label, np.array(signer))
    draws = donors(clips, np.full(8000, 3), np.random.default_rng(0))
    counts = np.bincount(draws, minlength=7)
    assert counts[allowed].sum() == 8000
    # Four standard deviations of the binomial are at most 155.
    assert (np.abs(counts[allowed] - 8000 / len(allowed)) < 155).all()


def signed_by(label: np.ndarray, signer: np.ndarray) -> ClipSet:
    one = np.ones_like(label)
    return ClipSet(torch.zeros(len(label), 1, 3).half(), np.arange(len(label)), one, label, signer)
