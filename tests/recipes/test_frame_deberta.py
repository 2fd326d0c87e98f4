"""How the 6th place's recipe reads a clip, against the document."""

import importlib
import linecache
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from src.dataset import clip_file
from src.recipes.base import Recipe
from src.recipes.frame_deberta import A_CPU, A_SAMPLE, LAYOUT, A, B


def read_by_the_document(frames: np.ndarray, max_len: int) -> np.ndarray:
    """recognition.md 3.2 in numpy, on whole frames (T, 543, 3)."""
    hands = list(range(468, 489)) + list(range(522, 543))
    kept = frames[~np.isnan(frames[:, hands, 0]).all(1)]
    kept = kept if len(kept) else frames
    if len(kept) > max_len:
        step = int(len(kept) / max_len + 1)
        kept = kept[step - 1 :: step]
    chosen = np.stack([kept[:, list(p)].astype(np.float64).mean(1) for p in LAYOUT.points], 1)
    return (chosen - np.nanmean(chosen, (0, 1))) / np.nanstd(chosen, (0, 1))


@pytest.mark.reference
@pytest.mark.parametrize("recipe", [A, B], ids=["A", "B"])
def test_genuine_clips_are_read_as_the_document_says(recipe, reference):
    paths = sorted(reference("asl_signs").glob("train_landmark_files/*/*.parquet"))[::9]
    longest = 0
    for path in paths:
        frames = clip_file.read_clip(path)
        read = recipe.read(torch.from_numpy(frames), range(frames.shape[1]))
        expected = read_by_the_document(frames, recipe.max_len)
        # Float32, and EPS = 1e-6 against deviations of about 0.1.
        np.testing.assert_allclose(read.numpy(), expected, rtol=1e-3, atol=2e-4, err_msg=str(path))
        longest = max(longest, len(frames))
        assert 1 <= len(read) <= recipe.max_len
    assert longest > recipe.max_len


def test_reading_does_not_depend_on_what_else_the_store_keeps():
    frames = torch.rand(9, 543, 3, generator=torch.Generator().manual_seed(0))
    whole = A.read(frames, range(543))
    alone = A.read(frames[:, list(A.layout.sources)], A.layout.sources)
    assert torch.equal(whole, alone)


def test_the_key_says_what_reading_depends_on():
    assert A.key != B.key  # another stride
    assert A.key == replace(A, epochs=1).key  # training does not matter
    assert len({A.key, A_SAMPLE.key, A_CPU.key}) == 3  # two enlarge the hands, one hides the face
    fewer = replace(A, layout=type(LAYOUT)({"lips": LAYOUT.parts["lips"]}))
    assert fewer.key != A.key


OWN_STEP = """
from dataclasses import dataclass
from src.transforms.pipeline import ClipPipeline
EPS = {eps}

@dataclass(frozen=True)
class Shift:
    def __call__(self, xyz, layout):
        return xyz + EPS

@dataclass(frozen=True)
class Own(ClipPipeline):
    shift: Shift = Shift()
"""


def test_a_changed_constant_beside_a_step_makes_prepared_clips_new(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    keys = []
    for eps in ("1e-6", "1e-5", "1e-6"):
        (tmp_path / "own_step.py").write_text(OWN_STEP.format(eps=eps))
        linecache.clearcache()
        sys.modules.pop("own_step", None)
        own = importlib.import_module("own_step").Own()
        values = {field.name: getattr(A, field.name) for field in fields(Recipe)}
        keys.append(Recipe(**values | {"clip": own}).key)
    assert keys[0] == keys[2] != keys[1]
