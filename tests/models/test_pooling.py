"""Pooling against torch's own, and padding that changes nothing."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.pooling import AttentionPooling, MultiScalePooling, piece_means
from tests.models.conftest import LENGTHS, features, randomised

D, H = 12, 3
SCALES = (1, 2, 4, 8)
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # float32 sums over 12 frames


@pytest.fixture
def x() -> Tensor:
    return features(D)


def pooled(x: Tensor, pieces: int) -> Tensor:
    """torch's adaptive average pooling over frames, (B, pieces, D)."""
    return F.adaptive_avg_pool1d(x.transpose(1, 2), pieces).transpose(1, 2)


@pytest.mark.parametrize("pieces", [*SCALES, 3, 9])
def test_pieces_are_torchs_adaptive_pooling_of_each_clip_at_its_own_length(x, mask, pieces):
    out = piece_means(torch.where(mask[..., None], x, 1e9), mask, pieces)
    for k, length in enumerate(LENGTHS):
        alone = x[k : k + 1, :length]
        torch.testing.assert_close(out[k : k + 1], pooled(alone, pieces), **CLOSE)
        torch.testing.assert_close(piece_means(alone, None, pieces), pooled(alone, pieces), **CLOSE)


def test_frames_hidden_in_between_are_left_out_of_their_piece(x):
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    mask[:, 3:6] = False  # the second of four pieces
    mask[:, 7] = False
    out = piece_means(x, mask, 4)
    torch.testing.assert_close(out[:, 0], x[:, :3].mean(1), **CLOSE)
    assert torch.equal(out[:, 1], torch.zeros_like(out[:, 1]))
    torch.testing.assert_close(out[:, 2], x[:, [6, 8]].mean(1), **CLOSE)


def test_attention_is_torchs_with_one_query(x, mask):
    attention = randomised(AttentionPooling(D, H))
    theirs = nn.MultiheadAttention(D, H, batch_first=True).eval()
    linears = (attention.to_query, attention.to_key, attention.to_value)
    theirs.in_proj_weight.data = torch.cat([linear.weight for linear in linears]).detach()
    theirs.in_proj_bias.data = torch.cat([linear.bias for linear in linears]).detach()
    theirs.out_proj.load_state_dict(attention.out.state_dict())
    query = attention.query.expand(len(x), 1, -1)
    for real in (None, mask):
        expected, _ = theirs(query, x, x, key_padding_mask=None if real is None else ~real)
        torch.testing.assert_close(attention(x, real), expected[:, 0], **CLOSE)


def test_the_codes_query_is_another_one_at_every_call(x):
    attention = AttentionPooling(D, H, random_query=True).eval()
    assert not torch.equal(attention(x, None), attention(x, None))
    torch.manual_seed(5)
    first = attention(x, None)
    torch.manual_seed(5)
    assert torch.equal(first, attention(x, None))


@pytest.mark.parametrize("averaged_bins", [False, True])
def test_what_is_joined(x, mask, averaged_bins):
    """Mean, maximum, a vector per scale, attention: recognition.md 4.3.4."""
    pooling = randomised(MultiScalePooling(D, H, SCALES, 0.1, averaged_bins)).eval()
    joined = []
    pooling.join.register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
    pooling(x, mask)
    for k, length in enumerate(LENGTHS):
        clip = x[k : k + 1, :length]
        by_scale = [pooled(clip, scale) for scale in SCALES]
        if averaged_bins:
            by_scale = [pieces.mean(1) for pieces in by_scale]
        else:
            by_scale = [f(y.flatten(1)) for f, y in zip(pooling.pieces, by_scale, strict=True)]
        vectors = [clip.mean(1), clip.amax(1), *by_scale, pooling.attention(clip, None)]
        torch.testing.assert_close(joined[0][k : k + 1], torch.cat(vectors, -1), **CLOSE)
