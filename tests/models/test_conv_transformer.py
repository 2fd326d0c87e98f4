"""The 1st place's network against Keras' layers with copied weights, and what must not matter."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.landmarks import LEFT_HAND, RIGHT_HAND, Layout
from src.models.blocks import MaskedBatchNorm
from src.models.conv_transformer import (
    GATE_KERNEL,
    PER_POINT,
    CausalConv,
    Config,
    ConvBlock,
    ConvTransformer,
    TransformerBlock,
)
from src.models.mixing import LayerMix
from src.recipes.conv_transformer import LARGE, LAYOUT

SMALL = Layout({"left_hand": LEFT_HAND[:5], "right_hand": RIGHT_HAND[:4]})
TINY = Config(dim=16, kernel=5, convs=2, heads=2)
STILL = Config(dim=16, kernel=5, convs=2, heads=2, drop=0.0, late_drop=0.0)
LENGTHS = (23, 1, 9, 4)


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics that no initialisation would give, so that each of them matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        drawn = torch.randn(value.shape, generator=generator)
        fan = value[0].numel() if value.dim() > 1 else 1
        scale = drawn / math.sqrt(fan) if value.dim() > 1 else 0.3 * drawn
        is_scale = name.endswith("norm.weight") or "running_var" in name
        value.copy_(scale.abs() + 0.5 if is_scale else scale)
    return model


def network(config: Config = TINY, classes: int = 7) -> ConvTransformer:
    return randomised(ConvTransformer(config, SMALL, classes)).eval()


def batch(width: int = PER_POINT * len(SMALL), seed: int = 0) -> tuple[Tensor, Tensor]:
    """A padded batch of features."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    x = torch.randn(len(LENGTHS), max(LENGTHS), width, generator=generator)
    return torch.where(mask[..., None], x, 0.0), mask


# --- sizes --------------------------------------------------------------------------------------


def test_the_published_number_of_parameters():
    """1,836,569 in Keras, of which 1,830,040 are trained.

    The rest are the means and variances of the batch norms, and one counter of the late dropout.
    """
    model = ConvTransformer(Config(), LAYOUT, 250)
    trained = sum(p.numel() for p in model.parameters())
    statistics = sum(b.numel() for name, b in model.named_buffers() if "running" in name)
    assert trained == 1_830_040
    assert trained + statistics + 1 == 1_836_569
    assert all(p.requires_grad for p in model.parameters())


def test_the_large_variant_is_as_wide_again_and_twice_as_deep():
    """In closed form: stem, twelve convolution blocks, four transformer blocks, head."""
    model = ConvTransformer(LARGE, LAYOUT, 250)
    d, inner, kernel = 384, 768, 17
    conv = d * inner + inner + kernel * inner + 2 * inner + GATE_KERNEL + inner * d + d
    transformer = 2 * d + 3 * d * d + d * d + 2 * d + 2 * d * inner
    stem, head = 708 * d + 2 * d, d * inner + inner + inner * 250 + 250
    expected = stem + 12 * conv + 4 * transformer + head
    assert sum(p.numel() for p in model.parameters()) == expected
    assert [type(layer) for layer in model.layers] == ([ConvBlock] * 3 + [TransformerBlock]) * 4


# --- Keras --------------------------------------------------------------------------------------


def array(x: Tensor) -> np.ndarray:
    return x.detach().numpy()


def set_dense(layer, linear: nn.Linear) -> None:
    bias = [] if linear.bias is None else [array(linear.bias)]
    layer.set_weights([array(linear.weight).T, *bias])


def set_norm(layer, norm: MaskedBatchNorm) -> None:
    layer.set_weights([array(getattr(norm, name)) for name in NORM])


NORM = ("weight", "bias", "running_mean", "running_var")


class Keras:
    """The published network, of Keras' own layers; attention scores are divided by sqrt(D)."""

    def __init__(self, model: ConvTransformer):
        from tensorflow import keras

        self.layers, self.model = keras.layers, model

    def __call__(self, x: Tensor, mask: Tensor) -> np.ndarray:
        model, mask = self.model, mask.numpy()
        x = self.norm(self.dense(x.numpy(), model.stem), model.stem_norm)
        for block in model.layers:
            convolves = isinstance(block, ConvBlock)
            x = self.conv_block(x, mask, block) if convolves else self.transformer(x, mask, block)
        top, _, classifier = model.classifier
        x = self.layers.GlobalAveragePooling1D()(self.dense(x, top), mask=mask)
        return np.asarray(self.dense(x, classifier))

    def dense(self, x, linear: nn.Linear, activation: str | None = None):
        layer = self.layers.Dense(
            linear.out_features, use_bias=linear.bias is not None, activation=activation
        )
        layer.build(x.shape)
        set_dense(layer, linear)
        return layer(x)

    def norm(self, x, norm: MaskedBatchNorm, training: bool = False, mask=None):
        layer = self.layers.BatchNormalization(momentum=0.95)
        layer.build(x.shape)
        set_norm(layer, norm)
        self.last_norm = layer
        return layer(x, training=training, mask=mask)

    def conv_block(self, x, mask, block: ConvBlock, training: bool = False):
        layers = self.layers
        y = self.dense(x, block.expand, "swish")
        kernel = block.conv.kernel_size[0]
        y = layers.ZeroPadding1D((kernel - 1, 0))(y)
        conv = layers.DepthwiseConv1D(kernel, use_bias=False)
        conv.build(y.shape)
        conv.set_weights([array(block.conv.weight).transpose(2, 0, 1)])
        y = self.norm(conv(y), block.norm, training, mask)
        mean = layers.GlobalAveragePooling1D()(y, mask=mask)
        gate = layers.Conv1D(1, GATE_KERNEL, padding="same", use_bias=False, activation="sigmoid")
        gate.build((*mean.shape, 1))
        gate.set_weights([array(block.gate.conv.weight).transpose(2, 1, 0)])
        y = layers.Multiply()([y, layers.Permute((2, 1))(gate(mean[..., None]))])
        return layers.Add()([x, self.dense(y, block.project)])

    def transformer(self, x, mask, block: TransformerBlock):
        layers, dim, heads = self.layers, x.shape[-1], block.attention.heads
        y = self.norm(x, block.attention_norm)
        attention = layers.MultiHeadAttention(heads, dim // heads, use_bias=False)
        attention.build(y.shape, y.shape)
        # (heads, q k v, d, D); Keras divides scores by sqrt(d), the 1st place by sqrt(D).
        qkv = array(block.attention.qkv.weight).reshape(heads, 3, dim // heads, dim)
        query, key, value = (qkv[:, i].transpose(2, 0, 1) for i in range(3))
        project = array(block.attention.project.weight).T.reshape(heads, dim // heads, dim)
        attention.set_weights([query / math.sqrt(heads), key, value, project])
        y = attention(y, y, attention_mask=mask[:, None])
        x = layers.Add()([x, y])
        y = self.norm(x, block.dense_norm)
        return layers.Add()([x, self.dense(self.dense(y, block.expand, "swish"), block.project)])


def test_the_network_is_keras_layers_with_the_same_weights():
    model, (x, mask) = network(), batch()
    with torch.no_grad():
        ours = model(x, mask)["logits"].numpy()
    expected = Keras(model)(x, mask)
    assert np.abs(expected).max() > 0.5
    # Float32, sums in another order, through six layers.
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_a_convolution_block_in_training_is_keras_block_with_masked_statistics():
    block = randomised(ConvBlock(STILL)).train()
    x, mask = batch(STILL.dim)
    keras = Keras(network())
    expected = keras.conv_block(x.numpy(), mask.numpy(), block, training=True)
    ours = block(x, mask)
    # The first clips' values are sums of 23 + 1 + 9 + 4 frames, in another order.
    np.testing.assert_allclose(array(ours)[mask], np.asarray(expected)[mask], atol=2e-5)
    mean, variance = keras.last_norm.get_weights()[2:]
    np.testing.assert_allclose(array(block.norm.running_mean), mean, atol=1e-6)
    # torch keeps the unbiased variance: 37 / 36 of Keras', in the new part of the average.
    before = randomised(ConvBlock(STILL)).norm.running_var.numpy()
    new = (variance - 0.95 * before) * 37 / 36
    np.testing.assert_allclose(array(block.norm.running_var), 0.95 * before + new, atol=1e-5)


def test_weights_start_as_keras_start():
    """Glorot's uniform law for every kernel, with Keras' own limits; the rest are 0 and 1."""
    from tensorflow import keras

    torch.manual_seed(0)
    model = ConvTransformer(Config(), LAYOUT, 250)
    block, attention = model.layers[0], model.layers[3].attention
    kernels = {
        (708, 192): model.stem.weight,
        (17, 384, 1): block.conv.weight,
        (192, 384): block.expand.weight,
        (192, 576): attention.qkv.weight,
    }
    for shape, weight in kernels.items():
        theirs = np.abs(keras.initializers.GlorotUniform(seed=0)(shape).numpy())
        ours = np.abs(array(weight))
        # The largest of thousands of uniform draws; and their mean, half of it.
        np.testing.assert_allclose(ours.max(), theirs.max(), rtol=2e-3)
        np.testing.assert_allclose(ours.mean(), theirs.mean(), rtol=0.03)
    assert (block.expand.bias == 0).all() and (block.norm.weight == 1).all()


# --- time ---------------------------------------------------------------------------------------


def test_a_convolution_is_causal_and_its_taps_end_at_the_frame_itself():
    conv = randomised(CausalConv(3, 4))
    x = torch.randn(2, 11, 3, generator=torch.Generator().manual_seed(0))
    padded = np.concatenate([np.zeros((2, 3, 3)), x.numpy()], 1)
    weight = conv.weight.detach().numpy()[:, 0]
    expected = sum(padded[:, n : n + 11] * weight[:, n] for n in range(4))
    np.testing.assert_allclose(array(conv(x)), expected, atol=1e-6)


@pytest.mark.parametrize("t", [0, 7, 22])
def test_the_stack_of_convolutions_looks_back_only(t):
    """Change frame t: what six blocks say of the frames before stays, to the bit.

    A gate is a mean over all frames; with no weights it is the same for all clips.
    """
    blocks = [randomised(ConvBlock(TINY), seed).eval() for seed in range(6)]
    for block in blocks:
        nn.init.zeros_(block.gate.conv.weight)
    x, _ = batch(TINY.dim)
    changed = x.clone()
    changed[:, t] += 1
    with torch.no_grad():
        for block in blocks:
            x, changed = block(x, None), block(changed, None)
    assert torch.equal(x[:, :t], changed[:, :t])
    assert (x[:, t] != changed[:, t]).any(-1).all()


@pytest.mark.parametrize("padding", [0.0, 1e3, math.nan, math.inf])
@pytest.mark.parametrize("more", [0, 1, 30])
def test_padding_changes_no_logit(padding, more):
    model, (x, mask) = network(), batch()
    expected = torch.cat([model(x[k : k + 1, :n])["logits"] for k, n in enumerate(LENGTHS)])
    padded = torch.full((len(x), x.shape[1] + more, x.shape[2]), padding)
    padded[:, : x.shape[1]] = torch.where(mask[..., None], x, padding)
    longer = nn.functional.pad(mask, (0, more))
    logits = model(padded, longer)["logits"]
    # Sums over frames in another order.
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing_in_training_either():
    x, mask = batch()
    outs, statistics = [], []
    for more in (0, 20):
        model = network(STILL).train()
        longer = nn.functional.pad(x, (0, 0, 0, more))
        outs.append(model(longer, nn.functional.pad(mask, (0, more)))["logits"])
        statistics.append(model.layers[1].norm.running_var)
    torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*statistics)


def test_padded_frames_get_no_gradient():
    model, (x, mask) = network(STILL).train(), batch()
    x.requires_grad_()
    model(x, mask)["logits"].square().sum().backward()
    assert (x.grad[~mask] == 0).all() and (x.grad[mask] != 0).any(-1).all()


def test_every_parameter_learns():
    model, (x, mask) = network(STILL).train(), batch()
    model(x, mask)["logits"].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all() and (parameter.grad != 0).any(), name


# --- chance -------------------------------------------------------------------------------------


def test_blocks_are_dropped_for_whole_clips_and_only_in_training():
    block = randomised(ConvBlock(Config(dim=16, kernel=5, drop=0.5)))
    x = torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(0)).repeat(400, 1, 1)
    whole = block.eval()(x, None) - x
    assert torch.equal(block(x, None), x + whole)
    block.norm.eval()
    block.training = True
    torch.manual_seed(0)
    branch = block(x, None) - x
    dropped = (branch == 0).flatten(1).all(1)
    assert torch.allclose(branch[~dropped], 2 * whole[~dropped], atol=1e-4)
    # Binomial of 400 and a half: deviation 10; four of them.
    assert abs(dropped.sum() - 200) < 40


def test_a_layer_of_mixup_is_where_it_says():
    """With a share of 1 nothing changes; at a layer it is that layer's input that is mixed."""
    model, (x, _) = network(), batch()
    partner = torch.tensor([1, 2, 3, 0])
    share = torch.tensor([1.0, 1.0, 1.0, 0.25])
    whole = model(x)["logits"]
    for number in range(len(model.layers)):
        mixed = model(x, None, LayerMix(partner, share, torch.tensor(number)))["logits"]
        torch.testing.assert_close(mixed[:3], whole[:3])
        y = model.stem_norm(model.stem(x))
        for layer in model.layers[:number]:
            y = layer(y, None)
        y = share[:, None, None] * y + (1 - share)[:, None, None] * y[partner]
        for layer in model.layers[number:]:
            y = layer(y, None)
        torch.testing.assert_close(mixed, model.classifier(y.mean(1)))


# --- export -------------------------------------------------------------------------------------


def test_the_exported_network_agrees_at_every_length():
    model = network(Config(dim=16, heads=2))
    x = torch.randn(1, 384, PER_POINT * len(SMALL), generator=torch.Generator().manual_seed(0))
    frames = torch.export.Dim("frames", min=1, max=384)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 deprecates its own tree specs
        program = torch.export.export(
            model, (x[:, :50],), dynamic_shapes=({1: frames},), strict=False
        ).module()
    for n in (*range(1, 40), 63, 64, 100, 383, 384):
        # One convolution sums in another order than the other.
        torch.testing.assert_close(
            program(x[:, :n])["logits"], model(x[:, :n])["logits"], rtol=1e-4, atol=1e-5
        )
