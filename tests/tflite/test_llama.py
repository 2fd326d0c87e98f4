"""26th place's three members in one file: what they share, and clips longer than they read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import torch

from src import models
from src.models.llama import Config
from src.recipes.llama import SINGLE, THREE, LlamaRecipe
from src.tflite.graph import Graph
from src.tflite.members import Member, answer, member_of
from src.tflite.parity import edge_clips
from src.transforms.steps.frames import Subsample

SIGNS = 7
TINY = Config(heads=2, depth=1, hidden=24, max_len=12, head_dim=8)


def member(recipe: LlamaRecipe) -> Member:
    """With weights of its own, and statistics that are not those of a new network."""
    small = replace(recipe, model=TINY, max_len=TINY.max_len)
    torch.manual_seed(recipe.seed)
    network = models.build(small.model, small.layout, SIGNS)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return member_of(small, network)


@pytest.fixture(scope="module")
def three() -> tuple[Member, ...]:
    return tuple(member(recipe) for recipe in THREE)


@pytest.fixture(scope="module")
def graph(three) -> Graph:
    return Graph(three, "logits")


@pytest.mark.parametrize("name", edge_clips(TINY.max_len))
def test_the_ensemble_in_one_graph_answers_as_torch_does(three, graph, name):
    """Also to clips longer than the table of positions, which the network itself cuts."""
    frames = edge_clips(TINY.max_len)[name]
    ours = graph(tf.constant(frames))["outputs"].numpy()
    expected = answer(three, torch.from_numpy(frames), "logits").numpy()
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, expected, atol=1e-5)  # float32 in another order


def test_points_and_centring_are_there_once(three, graph):
    frames = tf.constant(edge_clips(TINY.max_len)["one hand"])
    first, second, third = graph.prepared(frames)
    assert first is second is third
    assert len({id(m.core) for m in three}) == 3


def test_the_file_of_the_authors_resizes_long_clips_and_says_what_torch_says():
    resizing = replace(SINGLE, clip=replace(SINGLE.clip, limit=Subsample(TINY.max_len)))
    one = member(resizing)
    graph = Graph([one], "logits")
    frames = edge_clips(TINY.max_len)["longest"]
    (prepared,) = graph.prepared(tf.constant(frames))
    assert prepared.shape[0] == TINY.max_len
    ours = graph(tf.constant(frames))["outputs"].numpy()
    expected = answer([one], torch.from_numpy(frames), "logits").numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    cut = answer([member(SINGLE)], torch.from_numpy(frames), "logits").numpy()
    assert np.abs(ours - cut).max() > 1e-3
