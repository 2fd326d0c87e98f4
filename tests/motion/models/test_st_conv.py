import torch
from torch.nn import functional as F

from src.motion.models.st_conv import Config, FullHeads, Layer

SMALL = Config(
    width=48, feed_forward=32, time_heads=3, feature_heads=2, layers=1, window=10, dropout=0.0
)


def test_the_published_convolutions_leave_the_published_widths():
    """The document: 128 -> 120, 112, 104, 96, 88."""
    assert Config().conv_widths == [120, 112, 104, 96, 88]


def test_a_full_width_head_is_an_attention_of_its_own():
    """By hand: every head projects to full width, one output map joins them."""
    block = FullHeads(6, 3)
    x = torch.randn(2, 5, 6)
    q, k, v = F.linear(x, block.query_key_value.weight, block.query_key_value.bias).chunk(3, -1)
    heads = []
    for h in range(3):
        part = slice(6 * h, 6 * h + 6)
        scores = q[..., part] @ k[..., part].mT / 6**0.5
        scores = scores + torch.triu(torch.full((5, 5), -torch.inf), 1)
        heads.append(scores.softmax(-1) @ v[..., part])
    assert torch.allclose(block(x, causal=True), block.output(torch.cat(heads, -1)), atol=1e-5)


def test_a_layer_is_both_attentions_then_the_chain_of_convolutions():
    layer = Layer(SMALL).eval()
    x = torch.randn(2, 10, 48)
    time, feature = layer.time(x, causal=True), layer.features(x.mT, causal=False).mT
    out = layer.norms[0](x + time) + layer.norms[1](x + feature)
    parts, row = [out], out
    for convolution in layer.convolutions:
        kernel, width = convolution.weight[0, 0], row.shape[-1] - 8
        # valid, dilated by two: tap k reads 2 k features on
        row = sum(kernel[k] * row[..., 2 * k : 2 * k + width] for k in range(5)) + convolution.bias
        parts.append(row)
    assert [p.shape[-1] for p in parts] == [48, 40, 32, 24, 16, 8]
    hidden = layer.contract(layer.expand(torch.cat(parts, -1)).relu())
    assert torch.allclose(layer(x), layer.norms[2](out + hidden), atol=1e-5)
