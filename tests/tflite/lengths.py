"""The smallest model that a scorer can be right or wrong about: it counts frames."""

from collections.abc import Callable

import tensorflow as tf

from src.landmarks import N_LANDMARKS

SIGNS = 4
RAW = tf.TensorSpec((None, N_LANDMARKS, 3), tf.float32, name="inputs")


def by_length(inputs: tf.Tensor) -> tf.Tensor:
    """1 for the sign of number (frames modulo 4), 0 for the others of 4 signs."""
    return tf.one_hot(tf.shape(inputs)[0] % SIGNS, SIGNS)


def module_of(
    answer: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec = RAW, output: str = "outputs"
) -> tf.Module:
    """A function of `inputs` as the module that `convert` takes."""

    class Module(tf.Module):
        @tf.function(autograph=False, input_signature=[spec])
        def __call__(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {output: answer(inputs)}

    return Module()
