"""The signs that a `.tflite` file finds in a clip, most likely first.

Letters: **K** signs.
"""

import numpy as np
import scipy.special
from jaxtyping import Float

from src.clips import RawClip
from src.common.errors import InputError
from src.tflite.scorer import Model


def probabilities(answer: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
    """The answer of a .tflite file, logits or probabilities, as probabilities."""
    if (answer >= 0).all() and np.isclose(answer.sum(), 1, atol=1e-3):
        return answer
    return scipy.special.softmax(answer)


def top(model: Model, xyz: RawClip, signs: dict[str, int]) -> list[tuple[str, float]]:
    """The five likeliest signs of a clip, with their probabilities; `signs` is sign -> number.

    Raises:
        InputError: the file cannot be run, or has another number of signs.
    """
    answer = model(xyz).ravel()
    if len(answer) != len(signs):
        raise InputError(
            f"{model.path}: expected an answer for each of {len(signs)} signs, found {len(answer)} "
            "numbers; the file is for other signs: run 02 to 04 again, or name their map by --signs"
        )
    shares = probabilities(answer)
    names = {number: sign for sign, number in signs.items()}
    best = np.argsort(-shares, kind="stable")[:5]
    return [(names[int(k)], float(shares[k])) for k in best]
