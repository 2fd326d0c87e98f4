"""The 2nd place's recipe: its published values, the authors' variants, the stages, the order."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from src.clips import Clips
from src.landmarks import LEFT_HAND, LIPS_40_BY_SIDE, RIGHT_HAND
from src.models.hand_bert import Config
from src.recipes import SOLUTIONS, choose
from src.recipes.config import override
from src.recipes.hand_bert import BERT, DEBERTA, LAYOUT, LONGEST, HandBertRecipe, stages
from src.training.schedules import factor
from src.transforms.augment.space import Flip
from src.transforms.pipeline import Draw

# recognition.md section 5: how to read the value, the document's, the flags of the code's, and it.
# The mirrored lips, which share memory in the authors' code, are a bug and no variant.
Disagreement = tuple[Callable[[HandBertRecipe], Any], Any, str, Any]
DISAGREEMENTS: dict[str, Disagreement] = {
    "finger rotation": (
        lambda r: r.augment.fingers.joint_p,
        0.15,
        "--augment.fingers.joint-p 0.4",
        0.4,
    ),
    "history and future motion": (
        lambda r: r.features.future_first,
        False,
        "--features.future-first",
        True,
    ),
    "finger angle sign": (
        lambda r: r.features.interior_angles,
        False,
        "--features.interior-angles",
        True,
    ),
    "DeBERTa's relative terms": (
        lambda r: r.model.disentangled,
        True,
        "--model.no-disentangled",
        False,
    ),
    "subsampling before the features": (
        lambda r: r.clip.subsample.max_len,
        LONGEST,
        "--clip.subsample.max-len 96",
        96,
    ),
    # Not in the table: the code has no x for a right hand in frames without lips.
    "right hand without lips": (
        lambda r: r.features.mirror_x,
        0.5,
        "--features.mirror-x None",
        None,
    ),
}


@pytest.mark.parametrize("recipe", [BERT, DEBERTA], ids=["BERT", "DeBERTa"])
@pytest.mark.parametrize("name", DISAGREEMENTS)
def test_the_document_is_the_default_and_the_code_a_flag(recipe, name):
    read, document, flags, code = DISAGREEMENTS[name]
    assert read(recipe) == document
    assert read(override(recipe, flags)) == code


def batch() -> Clips:
    """Six clips of 1 to 30 frames in image coordinates; the third without lips."""
    generator = torch.Generator().manual_seed(0)
    xyz = torch.rand(6, 30, len(LAYOUT), 3, generator=generator)
    for part in LAYOUT.parts:
        lost = torch.rand(6, 30, generator=generator) < 0.3
        xyz[:, :, LAYOUT.rows(part)] = xyz[:, :, LAYOUT.rows(part)].where(
            ~lost[..., None, None], torch.nan
        )
    xyz[2, :, LAYOUT.rows("lips")] = torch.nan
    mask = torch.arange(30) < torch.tensor([30, 1, 20, 7, 25, 30])[:, None]
    return Clips(xyz, mask, torch.arange(6) % 5)


def test_the_authors_code_in_all_its_variants_runs_on_a_batch():
    """Every flag of the table at once, at toy widths."""
    recipe = override(DEBERTA, " ".join(row[2] for row in DISAGREEMENTS.values()))
    clips = batch()
    seen = recipe.augment(clips, LAYOUT, Draw(torch.Generator().manual_seed(0), random.Random(0)))
    assert seen.xyz.shape[1] == 45  # room for the longest stretch
    features = recipe.features(seen.xyz, seen.mask, LAYOUT)
    assert features.shape == (6, 45, 972) and features.isfinite().all()
    torch.manual_seed(0)
    small = replace(recipe.model, width=8, inner=8, heads=2)
    logits = small.build(LAYOUT, 5)(features, seen.mask)["logits"]
    assert logits.shape == (6, 5) and logits.isfinite().all()


def test_subsampling_first_spoils_only_the_motions_of_long_clips():
    """recognition.md 1.3: in the authors' graph, motions span the stride."""
    document, code = BERT, override(BERT, DISAGREEMENTS["subsampling before the features"][2])
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


# --- published values ---------------------------------------------------------------------------


def test_the_layout_is_the_published_one_of_82_points():
    """recognition.md 1.1: lip40, left21, right21; idx k <-> k + 18 for k = 4 to 21."""
    assert list(LAYOUT.points) == [(k,) for k in (*LIPS_40_BY_SIDE, *LEFT_HAND, *RIGHT_HAND)]
    assert len(LAYOUT) == 82
    lips = (*range(4), *range(22, 40), *range(4, 22))
    assert LAYOUT.mirror == (*lips, *range(61, 82), *range(40, 61))


def test_what_the_documents_say_about_training():
    """second-place-transformers.txt 1.1 and 3.1; recognition.md 1.2 and 1.5."""
    augment = BERT.augment
    assert [field.name for field in fields(augment)] == ["affine", "stretch", "fingers", "flip"]
    affine, stretch, fingers, flip = augment
    assert (affine.p, affine.low, affine.high) == (0.8, 0.8, 1.5)
    assert (affine.shift, affine.degrees) == (0.1, 15)
    assert (stretch.p, stretch.low, stretch.high, stretch.shift) == (0.3, 0.8, 1.5, 0.5)
    assert (fingers.p, fingers.joint_p, fingers.degrees) == (0.9, 0.15, 4)
    assert fingers.hands == ("left_hand", "right_hand")
    assert flip == Flip(p=0.5, centre=0.0)
    assert (BERT.loss.smoothing, BERT.loss.among, BERT.loss.drop) == (0.5, "all", 0)
    assert (BERT.epochs, BERT.schedule.flat * BERT.epochs) == (45 + 25, 45)
    assert (BERT.batch_size, BERT.clip_norm, BERT.mix) == (128, 10, None)
    optimiser = BERT.optimiser
    assert (optimiser.lr, optimiser.betas, optimiser.eps) == (2e-4, (0.95, 0.999), 1e-5)
    assert (optimiser.lookahead_steps, optimiser.weight_decay) == (5, 0)


def test_the_rate_is_flat_for_45_epochs_and_falls_by_a_cosine_for_25():
    def share(epoch: float) -> float:
        return factor(BERT.schedule, epoch / BERT.epochs)

    assert [share(epoch) for epoch in (0, 1, 30, 45)] == pytest.approx([1.0] * 4)
    fallen = [0.5 * (1 + math.cos(math.pi * k / 25)) for k in (5, 12.5, 20, 25)]
    assert [share(45 + k) for k in (5, 12.5, 20, 25)] == pytest.approx(fallen)


def test_no_frame_is_dropped():
    """recognition.md 1.1: frames without hands stay."""
    rows = torch.full((1024, len(LAYOUT), 3), torch.nan)
    rows[::2] = torch.rand(512, len(LAYOUT), 3, generator=torch.Generator().manual_seed(0))
    read = BERT.read(rows, LAYOUT.sources)
    chosen = rows[:, [LAYOUT.sources.index(k) for (k,) in LAYOUT.points]]
    assert torch.equal(read.nan_to_num(nan=9), chosen.nan_to_num(nan=9))


def test_sizes_are_the_published_ones():
    """recognition.md 1.4."""
    assert BERT.model == Config(
        4, "bert", features=972, max_len=96, width=256, inner=512, heads=4, dropout=0.1
    )
    assert BERT.model == replace(DEBERTA.model, family="bert")
    assert BERT.max_len == BERT.clip.subsample.max_len == 1024


# --- stages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [BERT, DEBERTA], ids=["BERT", "DeBERTa"])
def test_three_stages_as_the_document_has_them(recipe):
    """second-place-transformers.txt 3.2."""
    first, second, third = stages(recipe)
    assert [r.name for r in (first, second, third)] == [f"{recipe.name}_{k}" for k in (1, 2, 3)]
    assert [r.model.layers for r in (first, second, third)] == [4, 4, 3]
    assert [r.distil.teacher for r in (first, second, third)] == ["", first.name, second.name]
    assert [r.start for r in (first, second, third)] == ["", "", second.name]
    assert [r.ships for r in (first, second, third)] == [False, False, True]
    assert len({r.seed for r in (first, second, third)}) == 3  # a stage is not its teacher again
    assert {(r.distil.weight, r.distil.temperature) for r in (second, third)} == {(1.0, 2.0)}


@pytest.mark.parametrize("solution", ["hand_bert", "hand_deberta"])
@pytest.mark.parametrize("profile", ["full", "cpu", "sample"])
def test_every_profile_has_the_stages_in_order(solution, profile):
    members = choose(solution, profile)
    assert members == SOLUTIONS[solution].recipes(profile)
    assert [r.name for r in members] == [f"{solution}_{k}" for k in (1, 2, 3)]
    published = BERT if solution == "hand_bert" else DEBERTA
    assert {r.augment for r in members} == {published.augment}
    assert {r.features for r in members} == {published.features}
    assert {r.model.family for r in members} == {published.model.family}
