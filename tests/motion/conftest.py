"""What the motion tests share: real motion capture if it is there, synthetic motion always."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.motion.body.pose_space import MOTION_TRANSFORMER, Scaling
from src.motion.data.corpus import Corpus, prepare, read_corpus
from src.motion.data.synthetic import write_sample
from src.motion.training.task import pose_task

MOCAP = Path(__file__).parents[3] / "shared" / "data" / "mocap"


@pytest.fixture(scope="session")
def mocap() -> Path:
    if not MOCAP.is_dir():
        pytest.skip(f"no real motion capture at {MOCAP}")
    return MOCAP


@pytest.fixture(scope="session")
def dip_corpus(mocap) -> Corpus:
    """The shipped corpus, with all its training clips for training."""
    read = read_corpus(mocap / "dip_format_60fps")
    everything = sorted((*read.train, *read.valid), key=lambda clip: clip.name)
    return Corpus(tuple(everything), read.valid, read.test)


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """A folder of synthetic motion."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, seed=0, train=9, test=3)
    return folder


@pytest.fixture(scope="session")
def corpus(sample) -> Corpus:
    return read_corpus(sample)


@pytest.fixture(scope="session")
def data(corpus):
    """Synthetic motion as rotation matrices of the fifteen joints."""
    return prepare(corpus, MOTION_TRANSFORMER, Scaling())


@pytest.fixture(scope="session")
def task(data):
    return pose_task(data)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same numbers, and uses one thread: the machine has few."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
