"""Genuine clips for the benchmarks, prepared once under logs/benchmarks."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from src.common.paths import SIGN_MAP, anchored
from src.dataset import store
from src.dataset.batches import ClipSet, prepare
from src.dataset.competition import read_index
from src.dataset.sample import write_sample
from src.landmarks import N_LANDMARKS
from src.recipes import landmark_union
from src.recipes.base import Recipe
from tests.benchmarks.table import folder

SAMPLE = anchored("input/sample")


def sample() -> Path:
    """The synthetic sample, written where it is not there."""
    if not SAMPLE.is_dir():
        write_sample(SAMPLE)
    return SAMPLE


def genuine() -> Path:
    """A folder of genuine clips in the competition's format."""
    path = anchored("../shared/data/asl_signs")
    if not (path / "train.csv").is_file():
        sys.exit(f"error: {path}: these benchmarks need the genuine clips there")
    return path


def drawn(recipe: Recipe, n: int, device: str = "cpu") -> ClipSet:
    """`n` genuine clips as a recipe sees them (its filter, its stride, ...), with replacement."""
    # In one process, because some benchmarks watch the others.
    built = store.build(genuine(), folder() / "stores", landmark_union(), workers=1)
    clips = prepare(built, recipe.read, recipe.key, device)
    return clips.subset(np.random.default_rng(0).integers(0, len(clips), n))


def short_clips(source: Path, longest: int) -> pd.DataFrame:
    """The index of the clips of at most so many frames."""
    index = read_index(source)
    frames = [pq.read_metadata(path).num_rows // N_LANDMARKS for path in index.path]
    return index[np.array(frames) <= longest]


def under_many_names(index: pd.DataFrame, target: Path, copies: int) -> tuple[Path, int]:
    """A competition folder, in `target`, of these clips under `copies` names; how many they are."""
    rows, target = [], target / "asl-signs"
    for row in index.itertuples(index=False):
        first = target / f"{row.participant}-{row.sequence}"
        first.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(row.path, first)
        clips = Path("train_landmark_files", row.participant)
        (target / clips).mkdir(parents=True, exist_ok=True)
        for k in range(copies):
            sequence = f"{row.sequence}{k:05}"
            os.link(first, target / clips / f"{sequence}.parquet")
            rows.append((clips / f"{sequence}.parquet", row.participant, sequence, row.sign))
    columns = ["path", "participant_id", "sequence_id", "sign"]
    pd.DataFrame(rows, columns=columns).to_csv(target / "train.csv", index=False)
    shutil.copyfile(genuine() / SIGN_MAP, target / SIGN_MAP)
    return target, len(rows)
