"""The 1st place's network against Keras' layers with copied weights; causality, dropped blocks."""

import math

import keras  # not tensorflow.keras: onnx2tf turns that into Keras 2 for the whole process
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.models.blocks import MaskedBatchNorm
from src.models.conv_transformer import (
    GATE_KERNEL,
    PER_POINT,
    Config,
    ConvBlock,
    ConvTransformer,
    TransformerBlock,
)
from src.recipes import conv_transformer as recipe
from tests.models.conftest import CONV_TRANSFORMER as TINY
from tests.models.conftest import LAYOUT, LENGTHS, MASK, SIGNS, features, randomised

layers = keras.layers


def array(x: Tensor) -> np.ndarray:
    return x.detach().numpy()


class Keras:
    """The published network, of Keras' own layers; attention scores are divided by sqrt(D)."""

    def __call__(self, model: ConvTransformer, x: Tensor, mask: np.ndarray) -> np.ndarray:
        x = self.norm(self.dense(x.numpy(), model.stem), model.stem_norm)
        for block in model.layers:
            convolves = isinstance(block, ConvBlock)
            x = self.conv_block(x, mask, block) if convolves else self.transformer(x, mask, block)
        top, _, classifier = model.classifier
        x = layers.GlobalAveragePooling1D()(self.dense(x, top), mask=mask)
        return np.asarray(self.dense(x, classifier))

    def dense(self, x, linear: nn.Linear, activation: str | None = None):
        layer = layers.Dense(
            linear.out_features, use_bias=linear.bias is not None, activation=activation
        )
        layer.build(x.shape)
        bias = [] if linear.bias is None else [array(linear.bias)]
        layer.set_weights([array(linear.weight).T, *bias])
        return layer(x)

    def norm(self, x, norm: MaskedBatchNorm, training: bool = False, mask=None):
        layer = layers.BatchNormalization(momentum=0.95)
        layer.build(x.shape)
        values = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        layer.set_weights([array(value) for value in values])
        self.last_norm = layer
        return layer(x, training=training, mask=mask)

    def conv_block(self, x, mask, block: ConvBlock, training: bool = False):
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
        dim, heads = x.shape[-1], block.attention.heads
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


@pytest.fixture
def model() -> ConvTransformer:
    return randomised(TINY.build(LAYOUT, SIGNS)).eval()


def test_the_network_is_keras_layers_with_the_same_weights(model):
    x = features(PER_POINT * len(LAYOUT))
    with torch.no_grad():
        ours = model(x, MASK)["logits"].numpy()
    expected = Keras()(model, x, MASK.numpy())
    assert np.abs(expected).max() > 0.5
    # Float32, sums in another order, through six layers; logits are near 40.
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-3)


def test_a_convolution_block_in_training_is_keras_block_with_masked_statistics():
    block, x = randomised(ConvBlock(TINY)).train(), features(TINY.dim)
    oracle = Keras()
    expected = oracle.conv_block(x.numpy(), MASK.numpy(), block, training=True)
    ours = block(x, MASK)
    # Sums over all real frames, in another order.
    np.testing.assert_allclose(array(ours)[MASK], np.asarray(expected)[MASK], atol=2e-5)
    mean, variance = oracle.last_norm.get_weights()[2:]
    np.testing.assert_allclose(array(block.norm.running_mean), mean, atol=1e-6)
    # torch keeps the unbiased variance: n / (n - 1) of Keras', in the new part of the average.
    before = randomised(ConvBlock(TINY)).norm.running_var.numpy()
    new = (variance - 0.95 * before) * sum(LENGTHS) / (sum(LENGTHS) - 1)
    np.testing.assert_allclose(array(block.norm.running_var), 0.95 * before + new, atol=1e-5)


def test_weights_start_as_keras_start():
    """Glorot's uniform law for every kernel, with Keras' own limits; the rest are 0 and 1."""
    torch.manual_seed(0)
    model = Config().build(recipe.LAYOUT, 250)
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


@pytest.mark.parametrize("t", [0, 7, 11])
def test_the_stack_of_convolutions_looks_back_only(t):
    """Change frame t: the outputs of six blocks for the frames before stay, to the bit. A gate is a
    mean over all frames; without weights it is the same for all clips."""
    blocks = [randomised(ConvBlock(TINY), seed).eval() for seed in range(6)]
    for block in blocks:
        nn.init.zeros_(block.gate.conv.weight)
    x = features(TINY.dim)
    changed = x.clone()
    changed[:, t] += 1
    with torch.no_grad():
        for block in blocks:
            x, changed = block(x, None), block(changed, None)
    assert torch.equal(x[:, :t], changed[:, :t])
    assert (x[:, t] != changed[:, t]).any(-1).all()


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
