"""The 2nd place's recipe: the stages, their order, and what a clip becomes."""

from dataclasses import replace

import pytest
import torch

from src.common.errors import InputError
from src.recipes import choose
from src.recipes.config import override
from src.recipes.hand_bert import BERT, DEBERTA, LAYOUT
from tests.recipes.test_options import HAND_BERT


def test_subsampling_first_spoils_only_the_motions_of_long_clips():
    """recognition.md 1.3: in the authors' graph, motions span the stride."""
    document, code = BERT, override(BERT, HAND_BERT["subsampling before the features"])
    for n_frames, same in ((96, True), (192, False)):
        rows = torch.rand(n_frames, len(LAYOUT), 3, generator=torch.Generator().manual_seed(1))
        before, after = (
            r.features(r.read(rows, LAYOUT.sources)[None], None, LAYOUT) for r in (code, document)
        )
        assert before.shape == (1, 96, 972)
        motions, rest = slice(183, 3 * 183), slice(3 * 183, None)
        kept = after[:, :: n_frames // 96]
        assert torch.equal(before[..., rest], kept[..., rest])
        assert torch.equal(before[..., motions], kept[..., motions]) == same


def test_no_frame_is_dropped():
    """recognition.md 1.1: frames without hands stay."""
    rows = torch.full((1024, len(LAYOUT), 3), torch.nan)
    rows[::2] = torch.rand(512, len(LAYOUT), 3, generator=torch.Generator().manual_seed(0))
    read = BERT.read(rows, LAYOUT.sources)
    chosen = rows[:, [LAYOUT.sources.index(k) for (k,) in LAYOUT.points]]
    assert torch.equal(read.nan_to_num(nan=9), chosen.nan_to_num(nan=9))


def test_a_network_that_reads_other_numbers_than_the_features_make_is_refused():
    with pytest.raises(InputError, match=r"model\.features 972: expected 984"):
        override(BERT, "--features.wrists")
    more = override(BERT, "--features.wrists --model.features 984")
    assert more.model.features == more.features.size


@pytest.mark.parametrize("profile", ["full", "cpu", "sample"])
@pytest.mark.parametrize("published", [BERT, DEBERTA], ids=["hand_bert", "hand_deberta"])
def test_three_stages_as_the_document_has_them(published, profile):
    """second-place-transformers.txt 3.2."""
    stages = choose(published.name, profile)
    first, second, third = (f"{published.name}_{k}" for k in (1, 2, 3))
    assert [r.name for r in stages] == [first, second, third]
    assert [r.distil.teacher for r in stages] == ["", first, second]
    assert [r.start for r in stages] == ["", "", second]
    assert [r.ships for r in stages] == [False, False, True]
    layers = stages[0].model.layers
    assert [r.model.layers for r in stages] == [layers, layers, layers - 1]
    assert len({r.seed for r in stages}) == 3  # a stage is not its teacher again
    for recipe in stages:
        assert recipe.model.family == published.model.family
        # The cpu profile counts from the nose, and adds where the wrists are.
        features = replace(recipe.features, mirror_x=published.features.mirror_x, wrists=False)
        assert (recipe.augment, features) == (published.augment, published.features)
