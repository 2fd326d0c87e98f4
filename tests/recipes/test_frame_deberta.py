"""The 6th place's recipe: its published values, the authors' variants, and how it reads a clip."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from src.clips import Clips
from src.dataset import clip_file
from src.recipes.config import override
from src.recipes.frame_deberta import A_CPU, A_SAMPLE, B_CPU, LAYOUT, A, B, FrameDebertaRecipe
from src.transforms.pipeline import Draw
from src.transforms.steps.normalise import Standardise

# recognition.md section 5: how to read the value, the document's, the flags of the code's, and it.
# The section's last row, linear or log buckets in TFLite, is no choice here: what is exported is
# what was trained (tests/models/test_frame_deberta.py).
Disagreement = tuple[Callable[[FrameDebertaRecipe], Any], Any, str, Any]
DISAGREEMENTS: dict[str, Disagreement] = {
    "rotation": (lambda r: r.augment.rotate.degrees, 60.0, "--augment.rotate.degrees 30", 30.0),
    "mixup schedule": (lambda r: r.mix.falling, False, "--mix.falling", True),
    "MLP dropout, student": (lambda r: r.model.mlp_dropout, 0.25, "--model.mlp-dropout .05", 0.05),
    "MLP dropout, distilled": (
        lambda r: r.distilled.mlp_dropout,
        0.25,
        "--distilled.mlp-dropout .025",
        0.025,
    ),
    "scale": (lambda r: r.augment.resize.p, 0.5, "--augment.resize.p .25", 0.25),
    "distortion": (
        lambda r: (r.augment.resize.distort_p, r.augment.resize.distort_by_sum),
        (0.5, False),
        "--augment.resize.distort-p .25 --augment.resize.distort-by-sum",
        (0.25, True),
    ),
    "crop in the second half": (
        lambda r: (r.augment.crop.p, r.augment.crop.late_p),
        (0.5, None),
        "--augment.crop.late-p .25",
        (0.5, 0.25),
    ),
    "missing hand": (
        lambda r: r.augment.missing_hand.overwrite_left,
        False,
        "--augment.missing-hand.overwrite-left",
        True,
    ),
    "third layer's dropout, student": (
        lambda r: r.model.dropouts,
        (0.05, 0.1, 0.1),
        "--model.dropouts .05 .1 .2",
        (0.05, 0.1, 0.2),
    ),
    "third layer's dropout, distilled": (
        lambda r: r.distilled.dropouts,
        (0.05, 0.1, 0.1),
        "--distilled.dropouts .05 .1 .1",
        (0.05, 0.1, 0.1),
    ),
}


@pytest.mark.parametrize("recipe", [A, B], ids=["A", "B"])
@pytest.mark.parametrize("name", DISAGREEMENTS)
def test_the_document_is_the_default_and_the_code_a_flag(recipe, name):
    read, document, flags, code = DISAGREEMENTS[name]
    assert read(recipe) == document
    assert read(override(recipe, flags)) == code


def test_the_authors_code_in_all_its_variants_runs_on_a_batch():
    """Every flag of the table at once, at toy widths: augmentation, network, mixup."""
    flags = " ".join(row[2] for row in DISAGREEMENTS.values())
    recipe = override(B, flags)
    small = replace(recipe.model, dim=8, widths=(16, 16, 16, 16), heads=4)
    assert small.dropouts == (0.05, 0.1, 0.2) and small.mlp_dropout == 0.05
    generator = torch.Generator().manual_seed(0)
    clips = _batch(generator)
    draw = Draw(generator, random.Random(0), progress=0.2, donor=clips)
    out = recipe.augment(clips, LAYOUT, draw)
    features = recipe.features(out.xyz, out.mask, LAYOUT)
    torch.manual_seed(0)
    logits = small.build(LAYOUT, 5)(features, out.mask)["logits"]
    assert logits.shape == (6, 5) and logits.isfinite().all()
    assert recipe.mix.probability(0.0) == 0.5 and recipe.mix.probability(0.95) == 0


def _batch(generator: torch.Generator) -> Clips:
    xyz = torch.randn(6, 30, len(LAYOUT), 3, generator=generator)
    xyz[torch.rand(6, 30, len(LAYOUT), generator=generator) < 0.2] = torch.nan
    mask = torch.arange(30) < torch.tensor([30, 1, 20, 7, 25, 30])[:, None]
    return Clips(xyz, mask, torch.arange(6) % 5)


# --- published values ---------------------------------------------------------------------------


def test_the_layout_is_the_published_one_of_100_points():
    """recognition.md 3.1: slots of each type; 95 to 99 are means."""
    slots = {name: (LAYOUT.rows(name)[0], LAYOUT.rows(name)[-1]) for name in LAYOUT.parts}
    assert slots == {
        "left_hand": (0, 20),
        "right_hand": (21, 41),
        "silhouette": (42, 59),
        "lips": (60, 80),
        "arms": (81, 92),
        "cheeks": (93, 94),
        "means": (95, 99),
    }
    assert [len(point) for point in LAYOUT.points[95:]] == [9, 9, 4, 4, 5]


def test_the_published_flip_of_the_slots():
    """recognition.md 3.3: hands h <-> h + 21; the nose is its own partner."""
    assert LAYOUT.mirror[:42] == (*range(21, 42), *range(21))
    assert LAYOUT.mirror[93:] == (94, 93, 96, 95, 98, 97, 99)


@pytest.mark.parametrize("recipe", [A, B], ids=["A", "B"])
def test_what_the_document_says_about_training(recipe):
    augment = recipe.augment
    assert [field.name for field in fields(augment)] == [  # the order of the authors' code
        "face_cutmix", "missing_hand", "interpolate", "flip", "rotate", "crop", "resize",
    ]  # fmt: skip
    assert [a.p for a in augment] == [0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert (augment.face_cutmix.until, augment.missing_hand.until) == (0.5, 0.5)
    assert (augment.crop.share, augment.crop.min_frames) == (0.2, 20)
    assert (augment.resize.low, augment.resize.high) == (0.7, 1.3)
    assert (augment.flip.centre, recipe.clip.normalise) == (0.0, type(recipe.clip.normalise)())
    assert (recipe.mix.p, recipe.mix.alpha, recipe.mix.span) == (0.5, 0.4, 0.9)
    loss = recipe.loss
    assert (loss.smoothing, loss.among, loss.drop, loss.drop_per) == (0.3, "others", 3, 32)
    optimiser = recipe.optimiser
    assert (optimiser.lr, optimiser.weight_decay, optimiser.betas) == (3e-4, 0.4, (0.9, 0.999))
    assert (recipe.epochs, recipe.batch_size, recipe.clip_norm) == (100, 32 * 8, 10)
    assert recipe.schedule.warmup == 0.25
    teacher = recipe.mean_teacher
    assert (teacher.decay, teacher.weight, teacher.ramp) == (0.97, 5.0, 0.25)
    assert (recipe.soup_epochs, recipe.shipped) == (10, "soup")


def test_face_cutmix_exchanges_silhouette_lips_cheeks_and_means():
    """recognition.md 3.3: types 3, 4 and 6."""
    assert set(A.augment.face_cutmix.parts) == {"silhouette", "lips", "cheeks", "means"}


@pytest.mark.parametrize(
    ("recipe", "max_len", "dims", "widths", "distilled"),
    [
        (A, 25, (512, 192), (1024, 1280, 1536, 1536), (512, 768, 768, 512)),
        (B, 80, (256, 192), (512, 768, 1024, 1024), (512, 576, 576, 512)),
    ],
    ids=["A", "B"],
)
def test_sizes_are_the_published_ones(recipe, max_len, dims, widths, distilled):
    """recognition.md 3.4's table."""
    lengths = (recipe.max_len, recipe.clip.stride.max_len, recipe.model.max_len)
    assert {*lengths, recipe.distilled.max_len} == {max_len}
    assert (recipe.model.dim, recipe.distilled.dim) == dims
    assert (recipe.model.widths, recipe.distilled.widths) == (widths, distilled)
    assert {recipe.model.heads, recipe.distilled.heads} == {16}
    assert {recipe.model.features, recipe.distilled.features} == {16}
    assert {recipe.model.fusion_dropout, recipe.distilled.fusion_dropout} == {0.05}


def test_weight_decay_spares_what_the_code_spares():
    """recognition.md 3.5: names with bias or LayerNorm, that is DeBERTa's own layer norms.

    Batch norms, the encoder's two norms (type_norm, landmark_norm) and embeddings are decayed.
    """
    net = replace(A.distilled, dim=8, widths=(16,) * 4).build(LAYOUT, 5)
    spared = {
        name
        for name, _ in net.named_parameters()
        if any(part in name for part in A.optimiser.no_decay)
    }
    layer_norms = {
        f"layers.{n}.{norm}.weight"
        for n in range(3)
        for norm in ("attention.positions.norm", "attention_norm", "out_norm")
    }
    biases = {name for name, _ in net.named_parameters() if name.endswith("bias")}
    assert spared == layer_norms | biases
    assert "encoder.embedding.type_norm.weight" not in spared


@pytest.mark.parametrize("recipe", [A_CPU, B_CPU], ids=["A", "B"])
def test_the_cpu_profile_is_the_same_recipe_with_a_smaller_network(recipe):
    full = A if recipe.name == A.name else B
    changed = {f.name for f in fields(recipe) if getattr(recipe, f.name) != getattr(full, f.name)}
    assert changed == {"model", "clip", "distilled", "optimiser", "batch_size", "steps", "epochs"}
    as_published = replace(recipe.clip, hide=None, normalise=Standardise(), enlarge=None)
    assert as_published == full.clip
    assert recipe.distilled is None and recipe.config_of("soup") == recipe.model
    parameters = sum(p.numel() for p in recipe.model.build(LAYOUT, 250).parameters())
    assert parameters < 3e6


# --- reading a clip -----------------------------------------------------------------------------


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
    assert A.key == A_SAMPLE.key == replace(A, epochs=1).key  # training does not matter
    assert A.key != A_CPU.key  # it hides the face
    fewer = replace(A, layout=type(LAYOUT)({"lips": LAYOUT.parts["lips"]}))
    assert fewer.key != A.key
