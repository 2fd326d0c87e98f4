"""A recipe and clips small enough to train in a second."""

from dataclasses import replace

import numpy as np
import pytest

from src.dataset.batches import ClipSet
from src.models.frame_deberta import Config
from src.recipes import frame_deberta
from tests.training.trained import clips_of


@pytest.fixture(scope="session")
def tiny_recipe():
    """The 6th place's recipe B with all its parts, at toy widths."""
    student = Config(80, dim=8, widths=(16, 24, 16), dropouts=(0.05, 0.1), heads=2)
    return replace(
        frame_deberta.B,
        model=student,
        distilled=replace(student, widths=(16, 16, 8)),
        epochs=4,
        batch_size=8,
        soup_epochs=2,
    )


@pytest.fixture(scope="session")
def tiny_clips(tiny_recipe) -> ClipSet:
    """26 clips of 2 to 8 frames."""
    return clips_of(tiny_recipe.layout, np.random.default_rng(0).integers(2, 9, 26))
