"""What tests of videos need: the interpreter that has mediapipe, pictures, a clip, a model."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from src import landmarks as lm
from src.common.environments import Unavailable
from src.common.paths import SIGN_MAP
from src.video import environment
from src.video.process import MediaPipe
from src.video.recording import Recording
from tests.video.live_page import figure

FRAMES, FPS = 10, 10
SIGNS = {f"sign{number}": number for number in range(6)}


def extract(source: Path | str, mirrored: bool = False) -> Recording:
    with closing(MediaPipe()) as process:
        return process.recording(str(source), mirrored)


@pytest.fixture(scope="session")
def mediapipe() -> Path:
    """The interpreter with mediapipe; without it the test is skipped."""
    try:
        return environment.interpreter()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """The figure raises its right arm."""
    return np.stack([figure(up) for up in np.linspace(0, 1, FRAMES)])


@pytest.fixture(scope="session")
def made_up(pictures) -> Recording:
    """A recording with every landmark in the middle, but the left hand never seen."""
    xyz = np.full((FRAMES, lm.N_LANDMARKS, 3), 0.5, np.float32)
    xyz[:, 468:489] = np.nan
    return Recording(xyz, pictures[:, ::4, ::4].copy(), float(FPS))


@pytest.fixture(scope="session")
def file(tmp_path_factory) -> Path:
    """A .tflite file of six signs, beside their map."""
    import tensorflow as tf  # takes seconds, which most of these tests do without

    from src.tflite.converter.convert import convert
    from tests.tflite.lengths import module_of

    def answer(inputs: tf.Tensor) -> tf.Tensor:
        """Probabilities of six signs, whatever is asked."""
        shares = tf.constant([0.05, 0.1, 0.5, 0.2, 0.1, 0.05])
        return shares * tf.cast(tf.shape(inputs)[0] >= 0, tf.float32)

    folder = tmp_path_factory.mktemp("model")
    (folder / SIGN_MAP).write_text(json.dumps(SIGNS))
    (folder / "model.tflite").write_bytes(convert(module_of(answer), "fp32"))
    return folder / "model.tflite"
