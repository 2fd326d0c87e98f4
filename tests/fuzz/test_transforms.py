"""Every recipe on all that a store can hold: finite from the clip steps to the logits."""

import random
import shutil
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from src.clips import Clips
from src.dataset.batches import prepare
from src.dataset.store import Store
from src.recipes import SOLUTIONS, landmark_union
from src.transforms.pipeline import Draw
from tests.fuzz.cases import case, fuzzing
from tests.fuzz.tables import hits_of, spoil

RECIPES = {r.name: r for solution in SOLUTIONS.values() for r in solution.sample}
LANDMARKS = landmark_union()
VALUES = (np.nan, 65_504.0, -65_504.0, 0.0, 0.5, 6e-8)
N = len(LANDMARKS)


@cache
def network(name: str) -> nn.Module:
    recipe = RECIPES[name]
    torch.manual_seed(0)
    return recipe.config_of(recipe.shipped).build(recipe.layout, 5).eval()


@pytest.mark.parametrize("name", RECIPES)
@fuzzing(4)
@example(  # centred, the second landmark is at -131,008: more than float16 holds
    lengths=(1, 1), hits=[("a frame", 0, 65_504.0), ("a landmark", 20, -65_504.0)], seed=0
)
@given(
    lengths=st.tuples(st.sampled_from((1, 2, 3, 30, 300)), st.sampled_from((1, 5, 64))),
    hits=hits_of(VALUES),
    seed=st.integers(0, 9),
)
def test_a_recipe_stays_finite(tmp_path, name, lengths, hits, seed):
    recipe = RECIPES[name]
    frames = np.random.default_rng(seed).uniform(size=(sum(lengths), N, 3)).astype(np.float16)
    spoil(frames, hits)
    clips = pd.DataFrame({"offset": [0, lengths[0]], "length": lengths, "label": [0, 0]})
    clips["participant"] = ["one", "another"]
    shutil.rmtree(tmp_path / "prepared", ignore_errors=True)
    with case():
        store = Store(tmp_path, clips, LANDMARKS, {"a": 0}, frames)
        prepared = prepare(store, recipe.read, recipe.key)
        assert ((prepared.length >= 1) & (prepared.length <= recipe.max_len)).all()
        assert not prepared.frames.isinf().any()
        batch = prepared.gather(torch.arange(2), int(prepared.length.max()))
        other = Clips(batch.xyz.flip(0), batch.mask.flip(0), batch.label)
        draw = Draw(torch.Generator().manual_seed(seed), random.Random(seed), 0.5, other)
        changed = recipe.augment(batch, recipe.layout, draw)
        assert changed.mask.any(1).all() and torch.equal(changed.label, batch.label)
        assert not changed.xyz[changed.mask].isinf().any()
        features = recipe.features(changed.xyz, changed.mask, recipe.layout)
        with torch.no_grad():
            logits = network(name)(features, changed.mask)["logits"]
        assert logits.isfinite().all()
