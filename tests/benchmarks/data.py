"""Genuine clips for the benchmarks, prepared once under logs/benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from src.dataset import store
from src.dataset.batches import ClipSet, prepare
from src.paths import anchored
from src.recipes import landmark_union
from src.recipes.base import Recipe
from tests.benchmarks.table import folder


def genuine(name: str = "asl_signs") -> Path:
    """A folder of genuine clips in the competition's format."""
    path = anchored(f"../shared/data/{name}")
    if not (path / "train.csv").is_file():
        sys.exit(f"error: {path}: these benchmarks need the genuine clips there")
    return path


def genuine_store() -> store.Store:
    """The store of the genuine clips; in one process, because some benchmarks watch the others."""
    return store.build(genuine(), folder() / "stores", landmark_union(), workers=1)


def clips_of(recipe: Recipe, device: str = "cpu") -> ClipSet:
    """The genuine clips as a recipe sees them: its filter, its stride, its normalisation."""
    return prepare(genuine_store(), recipe.read, recipe.key, device)


def drawn(clips: ClipSet, n: int, seed: int = 0) -> ClipSet:
    """`n` clips drawn with replacement: more clips of the same lengths."""
    rng = np.random.default_rng(seed)
    return clips.subset(rng.integers(0, len(clips), n))
