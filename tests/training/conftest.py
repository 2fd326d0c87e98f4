"""A recipe and clips small enough to train in a second."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from src.dataset.batches import ClipSet
from src.models.frame_deberta import Config
from src.recipes import frame_deberta


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
    """26 clips of 3 signs; a sign is where the right hand is."""
    rng = np.random.default_rng(0)
    length = rng.integers(2, 9, 26)
    label = np.arange(26) % 3
    n_points = len(tiny_recipe.layout)
    frames = rng.normal(size=(length.sum(), n_points, 3), scale=0.3).astype(np.float16)
    right_hand = list(tiny_recipe.layout.rows("right_hand"))
    frames[:, right_hand] += np.repeat(label, length)[:, None, None].astype(np.float16)
    frames[rng.random(len(frames)) < 0.2] = np.nan
    return ClipSet(torch.from_numpy(frames), np.cumsum(length) - length, length, label, label * 0)
