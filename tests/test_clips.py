"""The batch that flows: lengths, what was seen, copies, and that wrong shapes are refused."""

import jaxtyping
import pytest
import torch

from src.clips import Clips


def clips() -> Clips:
    """Three frames: a clip of two with one missing point, and a whole one."""
    xyz = torch.arange(2 * 3 * 2 * 3, dtype=torch.float32).reshape(2, 3, 2, 3)
    xyz[0, 1, 0] = torch.nan
    mask = torch.tensor([[True, True, False], [True, True, True]])
    return Clips(xyz, mask, torch.tensor([4, 7]))


def test_length_counts_real_frames_and_seen_is_detected_and_real():
    assert clips().length.tolist() == [2, 3]
    expected = [[[1, 1], [0, 1], [0, 0]], [[1, 1], [1, 1], [1, 1]]]
    assert clips().seen.int().tolist() == expected


def test_repeat_puts_whole_batches_one_after_the_other():
    batch = clips()
    twice = batch.repeat(2).to("cpu")
    for half in (slice(0, 2), slice(2, 4)):
        torch.testing.assert_close(twice.xyz[half], batch.xyz, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(twice.mask[half], batch.mask)
        assert torch.equal(twice.label[half], batch.label)
    assert len(twice.label) == 4


def test_shapes_that_do_not_fit_are_refused():
    """Also proves that the annotations of src are checked under pytest at all."""
    batch = clips()
    with pytest.raises(jaxtyping.TypeCheckError):
        Clips(batch.xyz, batch.mask[:, :2], batch.label)
