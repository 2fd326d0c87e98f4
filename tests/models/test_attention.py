"""Disentangled attention against transformers' DeBERTa-v2 with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DebertaV2Config
from transformers.models.deberta_v2 import modeling_deberta_v2 as hf

from src.models.attention import (
    DisentangledAttention,
    RelativePositions,
    by_offset,
    by_offset_gathered,
    by_offset_shifted,
    log_bucket,
)
from src.models.frame_deberta import Config, Layer

WIDTH, HEADS = 32, 4
# Two float32 evaluations of sums of some 100 products, in another order.
CLOSE = {"rtol": 1e-4, "atol": 2e-6}


def encoder_of(max_len: int, width: int = WIDTH, heads: int = HEADS) -> hf.DebertaV2Encoder:
    """One of transformers' layers, set up as recognition.md 3.4 says."""
    config = DebertaV2Config(
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=heads,
        intermediate_size=width,
        hidden_act="mish",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_buckets=max_len,
        max_relative_positions=max_len,
        layer_norm_eps=1e-7,
    )
    return hf.DebertaV2Encoder(config)


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Weights large enough that every term of the score matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)


def copy_attention(ours: DisentangledAttention, theirs: hf.DebertaV2Encoder) -> None:
    attention = theirs.layer[0].attention.self
    for own, other in (
        (ours.query, attention.query_proj),
        (ours.key, attention.key_proj),
        (ours.value, attention.value_proj),
        (ours.positions.table, theirs.rel_embeddings),
        (ours.positions.norm, theirs.LayerNorm),
    ):
        own.load_state_dict(other.state_dict())


def clips(n_frames: int, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    """Three clips, the first as long as the batch."""
    generator = torch.Generator().manual_seed(n_frames)
    lengths = torch.tensor([n_frames, max(1, n_frames // 2), 1])
    mask = torch.arange(n_frames) < lengths[:, None]
    return torch.randn(3, n_frames, width, generator=generator), mask


def theirs_of(encoder: hf.DebertaV2Encoder, x: Tensor, mask: Tensor) -> Tensor:
    attention = encoder.layer[0].attention.self
    out, _ = attention(
        x,
        encoder.get_attention_mask(mask),
        relative_pos=encoder.get_rel_pos(x),
        rel_embeddings=encoder.get_rel_embedding(),
    )
    return out


CASES = [(25, t) for t in (1, 2, 13, 14, 24, 25)] + [(80, t) for t in (1, 3, 41, 79, 80)]


@pytest.mark.parametrize(("max_len", "n_frames"), CASES)
def test_attention_is_transformers(max_len, n_frames):
    ours = DisentangledAttention(WIDTH, HEADS, max_len, dropout=0.0)
    theirs = encoder_of(max_len)
    randomise(theirs, seed=max_len)
    copy_attention(ours, theirs)
    x, mask = clips(n_frames)
    expected = theirs_of(theirs, x, mask)
    torch.testing.assert_close(ours(x, mask)[mask], expected[mask], **CLOSE)
    torch.testing.assert_close(ours(x[:1])[0], expected[0], **CLOSE)  # no mask: all real


@pytest.mark.parametrize(("max_len", "n_frames"), [(25, 14), (25, 25), (80, 80)])
def test_gradients_are_transformers(max_len, n_frames):
    ours = DisentangledAttention(WIDTH, HEADS, max_len, dropout=0.0)
    theirs = encoder_of(max_len)
    randomise(theirs, seed=1)
    copy_attention(ours, theirs)
    x, mask = clips(n_frames)
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)) * mask[..., None]
    (ours(x, mask) * weight).sum().backward()
    (theirs_of(theirs, x, mask) * weight).sum().backward()
    attention = theirs.layer[0].attention.self
    for own, other in (
        (ours.query.weight, attention.query_proj.weight),
        (ours.key.weight, attention.key_proj.weight),
        (ours.value.bias, attention.value_proj.bias),
        (ours.positions.table.weight, theirs.rel_embeddings.weight),
        (ours.positions.norm.weight, theirs.LayerNorm.weight),
    ):
        scale = other.grad.abs().max().item()
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-5 * scale)


@pytest.mark.parametrize(("max_len", "n_frames"), [(25, 25), (25, 9), (80, 47)])
def test_three_layers_are_transformers_encoder(max_len, n_frames):
    """Theirs adds the residual after the last dense layer, ours before it: equal where it is I."""
    config = Config(max_len, dim=8, widths=(WIDTH,) * 4, dropouts=(0.0,) * 3, heads=HEADS)
    layers = [Layer(WIDTH, WIDTH, config, dropout=0.0) for _ in range(3)]
    encoders = [encoder_of(max_len) for _ in range(3)]
    for number, (own, other) in enumerate(zip(layers, encoders, strict=True)):
        randomise(other, seed=number)
        copy_attention(own.attention, other)
        layer = other.layer[0]
        own.attention_out.load_state_dict(layer.attention.output.dense.state_dict())
        own.attention_norm.load_state_dict(layer.attention.output.LayerNorm.state_dict())
        own.intermediate.load_state_dict(layer.intermediate.dense.state_dict())
        own.out_norm.load_state_dict(layer.output.LayerNorm.state_dict())
        for dense in (own.out, layer.output.dense):
            torch.nn.init.eye_(dense.weight)
            torch.nn.init.zeros_(dense.bias)
    ours, mask = clips(n_frames)
    theirs = ours
    for own, other in zip(layers, encoders, strict=True):
        ours, theirs = own(ours, mask), other(theirs, mask).last_hidden_state
    torch.testing.assert_close(ours[mask], theirs[mask], rtol=1e-3, atol=1e-4)


# --- positions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("max_len", [4, 5, 12, 25, 64, 80, 96, 128, 512])
def test_log_bucket_is_transformers_at_every_offset(max_len):
    offset = torch.arange(-max_len - 3, max_len + 4)
    theirs = hf.make_log_bucket_position(offset, max_len, max_len)
    assert log_bucket(offset, max_len, max_len).tolist() == theirs.long().tolist()


@pytest.mark.parametrize(("max_len", "shifted"), [(25, [*range(14, 21), 24]), (80, None)])
def test_the_shifted_offsets_are_those_the_document_counts(max_len, shifted):
    """recognition.md 3.7: for 25, 14 to 20 move up by one... and 38 of 80 differ for 80."""
    offset = torch.arange(max_len)
    bucket = log_bucket(offset, max_len, max_len).clamp(max=max_len - 1)
    differ = offset[bucket != offset].tolist()
    assert len(differ) == 38 if shifted is None else differ


@pytest.mark.parametrize("n_frames", [1, 2, 11, 25])
def test_relative_positions_are_the_rows_of_the_offsets_in_order(n_frames):
    positions = RelativePositions(WIDTH, max_len=25)
    randomise(positions, seed=0)
    offset = torch.arange(n_frames, -n_frames - 1, -1)
    bucket = hf.make_log_bucket_position(offset, 25, 25).long()
    rows = positions.table.weight[(bucket + 25).clamp(0, 49)]
    expected = F.layer_norm(rows, (WIDTH,), positions.norm.weight, positions.norm.bias, eps=1e-7)
    torch.testing.assert_close(positions(n_frames), expected)


# --- scores per offset to scores per pair -------------------------------------------------------


@pytest.mark.parametrize("form", [by_offset, by_offset_shifted, by_offset_gathered])
@pytest.mark.parametrize("n_frames", [1, 2, 3, 17])
def test_by_offset_reads_column_of_offset(form, n_frames):
    """Column c belongs to offset T - 1 - c: out[i, j] = scores[i, T - 1 - (i - j)]."""
    scores = torch.arange(2.0 * n_frames * 2 * n_frames).reshape(2, n_frames, 2 * n_frames)
    out = form(scores)
    for b in range(2):
        for i in range(n_frames):
            for j in range(n_frames):
                assert out[b, i, j] == scores[b, i, n_frames - 1 - (i - j)]


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_both_forms_have_the_same_values_and_gradients(batch):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(*batch, 7, 14, generator=generator)
    weight = torch.randn(*batch, 7, 7, generator=generator)
    answers = []
    for form in (by_offset_shifted, by_offset_gathered):
        leaf = scores.clone().requires_grad_()
        out = form(leaf)
        (out * weight).sum().backward()
        answers.append((out, leaf.grad))
    (shifted, of_shifted), (gathered, of_gathered) = answers
    assert torch.equal(shifted, gathered) and torch.equal(of_shifted, of_gathered)


# --- mask and dropout ---------------------------------------------------------------------------


def test_what_is_masked_is_never_attended_to():
    attention = DisentangledAttention(WIDTH, HEADS, 25, dropout=0.0)
    randomise(attention, seed=0)
    x, mask = clips(11)
    other = torch.where(mask[..., None], x, 1e3)
    torch.testing.assert_close(attention(other, mask)[mask], attention(x, mask)[mask])


def test_a_clip_alone_is_a_clip_padded():
    attention = DisentangledAttention(WIDTH, HEADS, 25, dropout=0.0)
    randomise(attention, seed=0)
    x, mask = clips(25)
    n = int(mask[1].sum())
    torch.testing.assert_close(attention(x, mask)[1, :n], attention(x[1:2, :n])[0], **CLOSE)


def test_dropout_is_on_the_weights_and_keeps_their_mean():
    """All values 1, so a row's output is the sum of its kept weights over 1 - p."""
    attention = DisentangledAttention(WIDTH, HEADS, 25, dropout=0.5)
    torch.nn.init.zeros_(attention.value.weight)
    torch.nn.init.ones_(attention.value.bias)
    x, _ = clips(20)
    torch.manual_seed(0)
    sums = torch.stack([attention(x) for _ in range(200)])
    assert sums.std() > 0.05
    assert sums.mean().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(attention.eval()(x), torch.ones_like(x))
