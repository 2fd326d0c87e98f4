"""Slovo's network: what is read, masks, blocks written out, outputs, options."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.landmarks import LIPS_40, RIGHT_FOREARM, Layout
from src.models.blocks import LayerMix
from src.models.hierarchical import (
    Block,
    Config,
    Hierarchical,
    TemporalConvolution,
    attention_masks,
)
from src.recipes.hierarchical import LAYOUT
from tests.models.conftest import HIERARCHICAL as SMALL
from tests.models.conftest import LENGTHS, SIGNS, features, normed, randomised

FRAMES = max(LENGTHS)
ALL_SEE_ALL = (None, None)


@pytest.fixture
def net() -> Hierarchical:
    return randomised(Hierarchical(SMALL, LAYOUT, SIGNS)).eval()


@pytest.fixture
def xy() -> Tensor:
    """Clips with missing parts, NaN already 0."""
    xy = features(len(LAYOUT), 2)
    xy[2, :, : len(LIPS_40)] = 0
    xy[4, 5:8] = 0
    return xy


# --- what is read -------------------------------------------------------------------------------


def test_every_point_matters_but_those_of_other_parts(net, xy):
    x = xy[:1].clone().requires_grad_()
    net(x)["logits"].square().sum().backward()
    per_point = x.grad.abs().sum((0, 1, 3))
    unread = {LAYOUT.row(point) for point in RIGHT_FOREARM}
    assert {k for k, g in enumerate(per_point.tolist()) if g == 0} == unread


def test_hidden_frames_get_no_gradient_and_leave_no_nan(net, xy):
    mask = torch.ones(len(LENGTHS), FRAMES, dtype=torch.bool)
    mask[:, 2:10] = False  # more in a row than a local block can see
    x = xy.clone().requires_grad_()
    net(x, mask)["logits"].square().sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[:, 2:10] == 0).all() and (x.grad[:, :2] != 0).any()


def test_layouts_are_read_by_the_names_of_their_parts(net, xy):
    order = ("other_forearm", "pose", "right_hand", "lips", "left_hand")
    shuffled = Layout({part: LAYOUT.parts[part] for part in order})
    other = Hierarchical(SMALL, shuffled, SIGNS).eval()
    other.load_state_dict(net.state_dict())
    rows = list(LAYOUT.rows(*order))
    for statistic in other.encoder.normalise.buffers():
        statistic.copy_(statistic[rows])
    expected = net(xy)["logits"]
    torch.testing.assert_close(other(xy[:, :, rows])["logits"], expected, rtol=1e-4, atol=1e-5)


# --- layers -------------------------------------------------------------------------------------


def band(reach: int) -> Tensor:
    t = torch.arange(FRAMES)
    return (t - t[:, None]).abs() <= reach


def by_hand(block: Block, x: Tensor, sees: Tensor) -> Tensor:
    """x + a Attn(norm x), then + b SwiGLU(norm .): recognition.md 4.3.3."""
    qkv = F.linear(normed(x, block.attention_norm), block.qkv.weight)
    q, k, v = qkv.unflatten(-1, (3, SMALL.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, H, T, d)
    q, k = block.rotary(q), block.rotary(k)
    attended = F.scaled_dot_product_attention(q, k, v, sees).transpose(1, 2).flatten(-2)
    y = x + block.attention_weight * F.linear(attended, block.out.weight)
    a, b = F.linear(normed(y, block.mlp_norm), block.mlp.gated.weight).chunk(2, -1)
    return y + block.mlp_weight * F.linear(F.silu(a) * b, block.mlp.out.weight)


@pytest.mark.parametrize("local", [True, False])
def test_a_block_is_what_the_document_writes(net, local):
    torch.manual_seed(2)
    block, x = net.layers[0 if local else -1], torch.randn(2, FRAMES, SMALL.dim)
    nn.init.constant_(block.attention_weight, 0.7)
    nn.init.constant_(block.mlp_weight, 1.3)
    assert block.local == local
    sees = band(3) if local else torch.ones(FRAMES, FRAMES, dtype=torch.bool)
    out = block(x, None, attention_masks(SMALL, x, None))
    torch.testing.assert_close(out, by_hand(block, x, sees), rtol=1e-4, atol=1e-4)


def test_frames_see_real_ones_that_are_near_or_a_stride_away_and_always_themselves(mask):
    x, t = torch.zeros(len(LENGTHS), FRAMES, 1), torch.arange(FRAMES)
    strided = band(4) | ((t - t[:, None]) % 4 == 0)
    real = mask[:, None] | torch.eye(FRAMES, dtype=torch.bool)  # (B, T, T)
    plain, sparse = replace(SMALL, local_window=None), replace(SMALL, sparse_stride=4)
    assert attention_masks(plain, x, None) == ALL_SEE_ALL
    assert all(torch.equal(found[:, 0], real) for found in attention_masks(plain, x, mask))
    for clips, keys in ((None, torch.ones_like(real[:1])), (mask, real)):
        local, everywhere = attention_masks(sparse, x, clips)
        assert torch.equal(local[:, 0], keys & band(3))
        assert torch.equal(everywhere[:, 0], keys & strided)


def test_the_convolution_is_three_side_by_side(net, mask):
    layer = net.layers[SMALL.local_layers]
    assert isinstance(layer, TemporalConvolution)
    x = torch.randn(len(LENGTHS), FRAMES, SMALL.dim)
    out = layer(x, mask, ALL_SEE_ALL)
    for k, length in enumerate(LENGTHS):
        clip = x[k, :length].T[None]
        channels = [F.conv1d(clip, c.weight, c.bias, padding="same") for c in layer.convolutions]
        y = x[k, :length] + torch.cat(channels, 1)[0].T
        expected = normed(y, layer.norm)
        torch.testing.assert_close(out[k, :length], expected, rtol=1e-4, atol=1e-5)
    with torch.device("meta"):  # recognition.md 4.3.3
        published = TemporalConvolution(Config(128)).convolutions
    sizes = [(c.kernel_size, c.out_channels) for c in published]
    assert sizes == [((3,), 170), ((5,), 171), ((7,), 171)]


# --- outputs ------------------------------------------------------------------------------------


def test_auxiliary_logits_are_those_of_each_stage_shallowest_first(net, xy):
    out = net(xy)
    features = out["pooled"]
    head = net.classifier
    for number, stage in enumerate([*head.stages, None]):
        torch.testing.assert_close(out["auxiliary"][number], head.auxiliary[number](features))
        features = stage(features) if stage else features
    torch.testing.assert_close(out["logits"], head.logits(features))


def test_parts_are_means_over_the_real_frames(net, xy, mask):
    hidden = torch.where(mask[..., None, None], xy, 0.0)
    _, parts = net.encoder(hidden, mask)
    out = net(xy, mask)["parts"]
    for k, length in enumerate(LENGTHS):
        expected = torch.stack([part[k, :length].mean(0) for part in parts])
        torch.testing.assert_close(out[k], expected, rtol=1e-4, atol=1e-5)


# --- options ------------------------------------------------------------------------------------


def test_stochastic_depth_rises_from_block_to_block(xy):
    net = Hierarchical(replace(SMALL, stochastic_depth=0.4), LAYOUT, SIGNS)
    drops = [layer.branch_drop for layer in net.layers if isinstance(layer, Block)]
    assert drops == pytest.approx([0.0, 0.2, 0.4])
    block, x = net.layers[-1], torch.randn(400, 2, SMALL.dim)
    torch.manual_seed(0)
    outs = (block.train(training)(x, None, ALL_SEE_ALL) for training in (True, False))
    untouched, of_evaluation = ((out == x).flatten(1).all(1).sum().item() for out in outs)
    # Both branches are left out with probability 0.16: 64 of 400, deviation 7.3; four of them.
    assert abs(untouched - 64) < 30 and of_evaluation == 0


def test_layer_drop_leaves_out_a_block_for_the_whole_batch(net, xy):
    block = net.layers[0]
    block.config = replace(SMALL, layer_drop=0.3)
    x = torch.randn(3, FRAMES, SMALL.dim)
    whole = block.eval()(x, None, ALL_SEE_ALL)
    block.train()
    torch.manual_seed(0)
    dropped = 0
    for _ in range(500):
        out = block(x, None, ALL_SEE_ALL)
        is_dropped = torch.equal(out, x)
        assert is_dropped or torch.equal(out, whole)
        dropped += is_dropped
    # Binomial of 500 and 0.3: 150, deviation 10; four of them.
    assert abs(dropped - 150) < 41


@pytest.mark.parametrize("mixed", [0, 1])
def test_from_the_mixed_layer_on_a_clip_has_the_frames_of_both(net, xy, mask, mixed):
    """Here every clip keeps its whole share, so only the masks differ."""
    swap = torch.tensor([4, 3, 2, 1, 0])
    joined = net(xy, mask, LayerMix(swap, torch.ones(5), torch.tensor(mixed)))["logits"]
    both = mask | mask[swap]
    x, _ = net.encoder(torch.where(mask[..., None, None], xy, 0.0), mask)
    for number, layer in enumerate(net.layers):
        real = both if number >= mixed else mask
        x = layer(x, real, attention_masks(SMALL, x, real))
    torch.testing.assert_close(joined, net.classifier(x, both)["logits"], rtol=1e-4, atol=1e-5)
    longest, alone = (both == mask).all(1), net(xy, mask)["logits"]
    torch.testing.assert_close(joined[longest], alone[longest], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(joined[~longest], alone[~longest], rtol=1e-2)


def test_attention_dropout_drops_whole_frames_from_a_sum():
    """With one frame its weight is 1: dropped half of the time, doubled otherwise."""
    config = replace(SMALL, dropout=0.0, attention_dropout=0.5)
    block = randomised(Block(config, local=True, branch_drop=0.0))
    x = torch.randn(64, 1, config.dim, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        attended = block.eval()._attend(x, None)
        dropped = block.train()._attend(x, None)
        value = block.qkv(x).chunk(3, -1)[2].unflatten(-1, (config.heads, -1))
        torch.testing.assert_close(attended, block.out(value.flatten(-2)))
        # Each head of each clip by itself: take the output layer back to look at the heads.
        heads = torch.linalg.solve(block.out.weight, dropped.mT).mT
    ratio = (heads.view_as(value) / value).median(-1).values
    assert set(ratio.round(decimals=2).abs().unique().tolist()) == {0.0, 2.0}
