"""Disentangled attention against transformers' DeBERTa-v2 with the same weights."""

import pytest
import torch
from torch import Tensor
from transformers.models.deberta_v2 import modeling_deberta_v2 as hf

from src.models.attention import DisentangledAttention, RelativePositions, log_bucket
from tests.benchmarks.hugging_face import encoder, table_pairs
from tests.models.conftest import randomised

WIDTH, HEADS = 32, 4
# Two float32 evaluations of sums of some 100 products, in another order.
CLOSE = {"rtol": 1e-4, "atol": 2e-6}


def clips(n_frames: int) -> tuple[Tensor, Tensor]:
    """Three clips, the first as long as the batch."""
    generator = torch.Generator().manual_seed(n_frames)
    lengths = torch.tensor([n_frames, max(1, n_frames // 2), 1])
    mask = torch.arange(n_frames) < lengths[:, None]
    return torch.randn(3, n_frames, WIDTH, generator=generator), mask


CASES = [(25, t) for t in (1, 2, 13, 14, 24, 25)] + [(80, t) for t in (1, 3, 41, 79, 80)]


@pytest.mark.parametrize(("max_len", "n_frames"), CASES)
def test_attention_is_transformers_and_so_are_its_gradients(max_len, n_frames):
    ours = DisentangledAttention(WIDTH, HEADS, max_len, dropout=0.0)
    theirs = randomised(encoder(WIDTH, WIDTH, HEADS, max_len, dropout=0.0), seed=max_len)
    attention, pairs = theirs.layer[0].attention.self, table_pairs(theirs, ours)
    names = ("query", "key", "value")
    pairs += [(getattr(attention, f"{name}_proj"), getattr(ours, name)) for name in names]
    for other, own in pairs:
        own.load_state_dict(other.state_dict())
    x, mask = clips(n_frames)
    out = ours(x, mask)
    expected, _ = attention(
        x,
        theirs.get_attention_mask(mask),
        relative_pos=theirs.get_rel_pos(x),
        rel_embeddings=theirs.get_rel_embedding(),
    )
    torch.testing.assert_close(out[mask], expected[mask], **CLOSE)
    assert (out[~mask] == 0).all()  # as in transformers 4.22, which the authors used
    torch.testing.assert_close(ours(x[:1])[0], expected[0], **CLOSE)  # no mask: all real

    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)) * mask[..., None]
    for y in (out, expected):
        (y * weight).sum().backward()
    for other, own in pairs:
        # A single frame has one key, so that nothing is learnt from its score: rounding is left.
        scale = max(other.weight.grad.abs().max().item(), 0.1)
        torch.testing.assert_close(own.weight.grad, other.weight.grad, rtol=1e-3, atol=1e-5 * scale)


@pytest.mark.parametrize("max_len", [4, 5, 12, 25, 64, 80, 96, 128, 512])
def test_log_bucket_is_transformers_at_every_offset(max_len):
    offset = torch.arange(-max_len - 3, max_len + 4)
    theirs = hf.make_log_bucket_position(offset, max_len, max_len)
    assert log_bucket(offset, max_len).tolist() == theirs.long().tolist()


def test_dropout_is_on_the_weights_and_keeps_their_mean():
    """All values 1, so a row's output is the sum of its kept weights over 1 - p."""
    attention = DisentangledAttention(WIDTH, HEADS, 25, dropout=0.5)
    attention.positions.dropout = 0.0
    torch.nn.init.zeros_(attention.value.weight)
    torch.nn.init.ones_(attention.value.bias)
    x, _ = clips(20)
    torch.manual_seed(0)
    sums = torch.stack([attention(x) for _ in range(200)])
    assert sums.std() > 0.05
    assert sums.mean().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(attention.eval()(x), torch.ones_like(x))


def test_dropout_of_positions_is_of_the_tables_rows():
    """transformers' pos_dropout: offsets in one bucket lose the same; what is left is doubled."""
    positions = RelativePositions(WIDTH, 25, dropout=0.5)
    whole = positions.eval()(25)
    torch.manual_seed(0)
    dropped = positions.train()(25)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * whole[kept])
    assert 0.4 < kept.float().mean() < 0.6
    bucket = log_bucket(25 - torch.arange(51), 25)
    same = bucket[:, None] == bucket
    assert torch.equal((kept[:, None] == kept).all(-1), same)
