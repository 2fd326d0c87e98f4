"""A `.tflite` file that computes a network's matrix products, at any length, and nothing else.

The products are those of the torch network on clips of two lengths: what grows with the length
grows in the file too, and what does not depend on the clip (position tables, folded weights) is
left out, as the exporter leaves it out.
"""

import math
from pathlib import Path

import numpy as np
import tensorflow as tf
import torch

from src.tflite.converter.convert import convert
from src.tflite.interpreter import INPUT, OUTPUT
from src.tflite.members import Member
from tests.benchmarks.products import Recorder

WIDTH = 2800  # numbers per frame of the file's input: enough for any left factor of a frame
LENGTHS = (7, 11)  # frames; no size of a network is a multiple of both

Size = tuple[int, bool]  # a dimension: so many, or so many per frame


class Products(tf.Module):
    """The products of one network as a function of (T, WIDTH) numbers."""

    def __init__(self, products: list[tuple[tuple[Size, ...], tuple[Size, ...]]]):
        super().__init__()
        self.products = products
        rng = np.random.default_rng(0)
        self.weights = [
            None if any(per for _, per in b) else rng.standard_normal([n for n, _ in b], np.float32)
            for _, b in products
        ]

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec((None, WIDTH), tf.float32, name=INPUT)],
    )
    def __call__(self, inputs):
        """The first number of every product; the converter drops what no output depends on.

        The factors of each product begin at another number of the input: the converter would
        compute equal products once.
        """
        ends, square = [], None  # the last (H, T, T): what is multiplied with the values
        for k, ((a, b), weight) in enumerate(zip(self.products, self.weights, strict=True)):
            left = square if sum(per for _, per in a) == 2 else _shaped(inputs, a, k)
            right = _shaped(inputs, b, k + 1) if weight is None else weight
            product = tf.matmul(left, right)
            square = product if a[-2][1] and b[-1] == (1, True) else square
            ends.append(tf.reshape(product, [-1])[:1])
        return {OUTPUT: tf.concat(ends, 0)}


def _shaped(inputs: tf.Tensor, sizes: tuple[Size, ...], first: int) -> tf.Tensor:
    """Some of the numbers of every frame, from the `first` on, in this shape."""
    numbers = math.prod(n for n, _ in sizes)
    per_frame = any(per for _, per in sizes)
    chosen = tf.slice(inputs, [0, first], [-1 if per_frame else 1, numbers])
    return tf.reshape(chosen, [-1 if per else n for n, per in sizes])


def write(member: Member, path: Path) -> Path:
    """Write the file of one member's network."""
    path.write_bytes(convert(Products(products_of(member)), "fp16"))
    return path


def products_of(member: Member) -> list[tuple[tuple[Size, ...], tuple[Size, ...]]]:
    """The products that depend on the clip; the classifier's, of one row, among them."""
    recorded = []
    for n_frames in LENGTHS:
        with Recorder() as recorder, torch.no_grad():
            member.core(torch.zeros(1, n_frames, len(member.sources), 3))
        recorded.append(recorder.in_order)
    kept = []
    for one, other in zip(*recorded, strict=True):
        shapes = [_sizes(*pair) for pair in zip(one, other, strict=True)]
        grows = any(per for shape in shapes if shape for _, per in shape)
        if None not in shapes and (grows or (len(one[0]) == 2 and one[0][0] == 1)):
            kept.append(tuple(shapes))
    return kept


def _sizes(short: tuple[int, ...], long: tuple[int, ...]) -> tuple[Size, ...] | None:
    """The dimensions of a factor; None for one of the position tables, 2 T + 1 rows."""
    sizes = []
    for a, b in zip(short, long, strict=True):
        if a == b:
            sizes.append((a, False))
        elif a % LENGTHS[0] == b % LENGTHS[1] == 0:
            sizes.append((a // LENGTHS[0], True))
        else:
            return None
    return tuple(sizes)
