"""The signs that a `.tflite` file sees in a clip, most likely first.

Letters: **T** frames, **K** signs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.special
from jaxtyping import Float

from src.common.errors import InputError
from src.tflite.scorer import Model


def probabilities(answer: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
    """A file's answer as probabilities; a file may answer with logits instead."""
    if (answer >= 0).all() and np.isclose(answer.sum(), 1, atol=1e-3):
        return answer
    return scipy.special.softmax(answer)


def top(
    path: Path, xyz: Float[np.ndarray, "T 543 3"], signs: dict[str, int], most: int = 5
) -> list[tuple[str, float]]:
    """The most likely signs of a raw clip, with probabilities.

    Args:
        path: the `.tflite` file.
        xyz: NaN = not detected.
        signs: sign -> number.
        most: how many.

    Raises:
        InputError: the file is none of the competition's, or of another number of signs.
    """
    answer = Model(path)(xyz).ravel()
    if len(answer) != len(signs):
        raise InputError(
            f"{path}: expected an answer for each of {len(signs)} signs, found {len(answer)} "
            "numbers; name the map of the data that it was trained on"
        )
    shares = probabilities(answer)
    names = {number: sign for sign, number in signs.items()}
    best = np.argsort(-shares, kind="stable")[:most]
    return [(names[int(k)], float(shares[k])) for k in best]
