"""26th place's three members in one file: what they share, and clips longer than they read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from src.models.llama import Config
from src.recipes.llama import SINGLE, THREE, LlamaRecipe
from src.tflite.graph import Graph
from src.tflite.members import Member, answer
from src.tflite.parity import edge_clips
from src.transforms.steps.frames import Subsample
from tests.tflite import toys

TINY = Config(heads=2, depth=1, hidden=24, max_len=12, head_dim=8)
CLIPS = edge_clips(TINY.max_len)
TOLERANCE = 1e-5  # float32 in another order of operations


def member(recipe: LlamaRecipe) -> Member:
    """A small member with weights of its own."""
    return toys.trained(replace(recipe, model=TINY, max_len=TINY.max_len), seed=recipe.seed)


@pytest.fixture(scope="module")
def three() -> tuple[Member, ...]:
    return tuple(member(recipe) for recipe in THREE)


def test_the_ensemble_shares_points_and_centring_and_answers_as_torch_does(three):
    """Also to clips longer than the table of positions, which the network itself cuts."""
    graph = Graph(three)
    first, second, third = graph.prepared(tf.constant(CLIPS["one hand"]))
    assert first is second is third
    assert len({id(m.core) for m in three}) == 3
    for name, frames in CLIPS.items():
        ours = graph(tf.constant(frames))["outputs"]
        np.testing.assert_allclose(ours, answer(three, frames), 0, TOLERANCE, err_msg=name)


def test_the_file_of_the_authors_resizes_long_clips_and_says_what_torch_says():
    resizing = member(replace(SINGLE, clip=replace(SINGLE.clip, limit=Subsample(TINY.max_len))))
    graph, frames = Graph([resizing]), CLIPS["longest"]
    (prepared,) = graph.prepared(tf.constant(frames))
    assert prepared.shape[0] == TINY.max_len
    ours = graph(tf.constant(frames))["outputs"]
    np.testing.assert_allclose(ours, answer([resizing], frames), 0, TOLERANCE)
    cut = answer([member(SINGLE)], frames).numpy()
    assert np.abs(ours - cut).max() > 10 * TOLERANCE
