"""What holds for every network: sizes, padding, order, gradients, manifold mixup, export.

A new family is found in `SOLUTIONS` and tested at the sample's size; where that is slow, give it a
small network in `CASES` and in conftest's `SMALL`.
"""

import math
from dataclasses import dataclass, fields, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.landmarks import LEFT_FOREARM, LEFT_HAND, LIPS_40, RIGHT_HAND, Layout
from src.models import NetworkConfig, hand_bert, hierarchical
from src.models.blocks import LayerMix
from src.recipes import SOLUTIONS
from src.recipes import conv_transformer as first_place
from src.recipes import frame_deberta as sixth_place
from src.recipes import hand_bert as second_place
from src.recipes import hierarchical as slovo
from src.recipes import llama as place_26
from tests.exports import exported
from tests.models import conftest as small
from tests.models.conftest import CLOSE, LAYOUT, LENGTHS, MASK, SIGNS, features, randomised
from tests.recipes.test_adding import SOLUTION as MEANS
from tests.tflite import toys


@dataclass(frozen=True)
class Case:
    """A small network without dropout, and the shape of what it reads of a frame."""

    config: NetworkConfig
    shape: tuple[int, ...]
    layout: Layout = LAYOUT
    takes_any_padding: bool = True  # or only finite numbers

    def network(self) -> nn.Module:
        return randomised(self.config.build(self.layout, SIGNS)).eval()


PARTS = {"lips": LIPS_40[:6], "left_hand": LEFT_HAND[:5], "right_hand": RIGHT_HAND[:5]}
BERT = Case(small.HAND_BERT, (30,), takes_any_padding=False)
SLOVO = Case(small.HIERARCHICAL, (21, 2), Layout(PARTS | {"pose": LEFT_FOREARM}))
CASES = {
    "conv_transformer": Case(small.CONV_TRANSFORMER, (6 * len(LAYOUT),)),
    "frame_deberta": Case(small.FRAME_DEBERTA, (len(LAYOUT), 3)),
    "hand_bert": BERT,
    "hand_deberta": replace(BERT, config=replace(small.HAND_BERT, family="deberta")),
    "hand_deberta of the code": replace(
        BERT, config=replace(small.HAND_BERT, family="deberta", disentangled=False)
    ),
    "llama": Case(small.LLAMA, (len(LAYOUT), 2)),
    "llama, hand shapes": Case(replace(small.LLAMA, hand_shapes=True), (len(LAYOUT), 2)),
    "hierarchical": SLOVO,
    "hierarchical, hand shapes": replace(
        SLOVO, config=replace(small.HIERARCHICAL, hand_shapes=True)
    ),
    "hierarchical, sparse": replace(
        SLOVO, config=replace(small.HIERARCHICAL, local_window=None, sparse_stride=4)
    ),
}


def found() -> dict[str, Case]:
    """The networks of new families, with 0 in every field that has "drop" in its name."""
    cases = {}
    for name, recipe in small.without_small_network("sample").items():
        off = {field.name: 0.0 for field in fields(recipe.model) if "drop" in field.name}
        xyz = torch.zeros(1, 1, len(recipe.layout), 3)
        shape = recipe.features(xyz, None, recipe.layout).shape[2:]
        cases[name] = Case(replace(recipe.model, **off), shape, recipe.layout, False)
    return cases


CASES |= found()
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
MODES = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])


def logits(net: nn.Module, x: Tensor, mask: Tensor | None = None) -> Tensor:
    return net(x, mask)["logits"]


def test_a_new_family_is_found(monkeypatch):
    monkeypatch.setitem(SOLUTIONS, "means", MEANS)
    net = found()["means"].network()
    assert logits(net, features(2 * len(LEFT_HAND), 3), MASK).shape == (len(LENGTHS), SIGNS)
    assert "means" in toys.families()


# --- sizes --------------------------------------------------------------------------------------

CODE = hierarchical.Config(128, local_window=None, averaged_bins=True, random_query=True)
# anchors.md; recognition.md 3.4, 1.4, 2.4, 4.3; the last two are published in millions. Our own
# counts, for docs/solutions.md: DeBERTa, and the two of Slovo with 250 signs.
PUBLISHED = {
    "conv_transformer": (first_place.FULL.model, first_place.LAYOUT, 250, 1_830_040),
    "A student": (sixth_place.A.model, sixth_place.LAYOUT, 250, 35_143_010),
    "B student": (sixth_place.B.model, sixth_place.LAYOUT, 250, 13_688_418),
    "A distilled": (sixth_place.A.distilled, sixth_place.LAYOUT, 250, 9_819_298),
    "B distilled": (sixth_place.B.distilled, sixth_place.LAYOUT, 250, 6_943_394),
    "BERT, 3 layers": (hand_bert.Config(3), second_place.LAYOUT, 250, 1_922_810),
    "BERT, 4 layers": (hand_bert.Config(4), second_place.LAYOUT, 250, 2_450_938),
    "DeBERTa, 3 layers": (hand_bert.Config(3, "deberta"), second_place.LAYOUT, 250, 1_972_218),
    "llama": (place_26.SINGLE.model, place_26.LAYOUT, 250, 9_213_946),
    "llama of three": (place_26.THREE[0].model, place_26.LAYOUT, 250, 1_695_610),
    "Slovo, 250 signs": (slovo.SOLUTION.full[-1].model, slovo.LAYOUT, 250, 19_065_340),
    "Slovo, 250 signs, 128 frames": (hierarchical.Config(128), slovo.LAYOUT, 250, 33_493_756),
    "Slovo, 500 signs": (CODE, slovo.LAYOUT, 500, pytest.approx(29.82e6, abs=5e3)),
    "Slovo, 1000 signs": (CODE, slovo.LAYOUT, 1000, pytest.approx(30.33e6, abs=5e3)),
}


@pytest.mark.parametrize(
    ("config", "layout", "signs", "expected"), PUBLISHED.values(), ids=PUBLISHED
)
def test_networks_have_the_published_number_of_parameters(config, layout, signs, expected):
    with torch.device("meta"):  # nothing is allocated
        net = config.build(layout, signs)
    assert sum(p.numel() for p in net.parameters()) == expected
    assert isinstance(config, NetworkConfig)


# --- padding and order --------------------------------------------------------------------------


@pytest.mark.parametrize("more", [0, 1, 28])
@MODES
@pytest.mark.parametrize(
    ("case", "fill"),
    [
        pytest.param(case, fill, id=f"{name}, {fill}")
        for name, case in CASES.items()
        for fill in (0.0, 1e4, math.nan, math.inf)
        if case.takes_any_padding or math.isfinite(fill)
    ],
)
def test_padding_changes_neither_logits_nor_statistics(case, fill, more, training):
    x, (expected, net) = features(*case.shape), (case.network().train(training) for _ in range(2))
    longer = F.pad(MASK, (0, more))
    padded = torch.full((*longer.shape, *case.shape), fill)
    padded[:, : MASK.shape[1]][MASK] = x[MASK]
    torch.testing.assert_close(logits(net, padded, longer), logits(expected, x, MASK), **CLOSE)
    torch.testing.assert_close(net.state_dict(), expected.state_dict(), **CLOSE)


@EVERY
def test_a_clip_alone_has_the_logits_that_it_has_in_a_batch(case):
    x, net = features(*case.shape), case.network()
    together = logits(net, x, MASK)
    assert together.shape == (len(LENGTHS), SIGNS)
    for k, n in enumerate(LENGTHS):
        torch.testing.assert_close(logits(net, x[k : k + 1, :n])[0], together[k], **CLOSE)


@EVERY
@MODES
def test_the_order_of_the_batch_does_not_matter(case, training):
    x, net, order = features(*case.shape), case.network(), torch.tensor([3, 1, 4, 0, 2])
    expected = logits(net.train(training), x, MASK)
    torch.testing.assert_close(logits(net, x[order], MASK[order]), expected[order], **CLOSE)


@EVERY
def test_the_order_of_the_frames_matters(case):
    x, net = features(*case.shape)[:1], case.network()
    assert (logits(net, x.flip(1)) - logits(net, x)).abs().max() > 0.01


@EVERY
@MODES
def test_clips_of_one_frame_and_clips_without_any_landmark_are_finite(case, training):
    net, x = case.network().train(training), features(*case.shape)
    assert logits(net, torch.zeros_like(x), MASK).isfinite().all()
    assert logits(net, x[:, :1], MASK[:, :1]).isfinite().all()


# --- gradients ----------------------------------------------------------------------------------


@EVERY
@MODES
def test_real_frames_get_a_gradient_and_padded_ones_none(case, training):
    x = features(*case.shape).requires_grad_()
    logits(case.network().train(training), x, MASK).square().sum().backward()
    gradient = x.grad.flatten(2).abs().amax(-1)
    assert torch.equal(gradient > 0, MASK)


@EVERY
def test_every_parameter_learns(case):
    net, x = case.network(), features(*case.shape)
    x[0, 3] = 0  # a frame of which nothing was detected
    sum(value.square().sum() for value in net(x, MASK).values()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all() and (parameter.grad != 0).any(), name


# --- manifold mixup -----------------------------------------------------------------------------

PARTNER, SHARE = torch.tensor([3, 0, 2, 4, 1]), torch.tensor([1.0, 0.3, 0.5, 0.6, 0.0])


def inputs_of_layers(net: nn.Module, x: Tensor, mix: LayerMix | None) -> list[tuple]:
    """What each layer was called with."""
    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: seen.append(args)) for layer in net.layers
    ]
    net(x, MASK, mix)
    for hook in hooks:
        hook.remove()
    return seen


@EVERY
def test_mixup_mixes_the_input_of_the_layer_that_it_names_and_joins_the_masks(case):
    net, x = case.network(), features(*case.shape)
    if not hasattr(net, "layers"):
        pytest.skip("a network without `layers` is not mixed inside")
    plain = inputs_of_layers(net, x, None)
    for number in range(len(net.layers)):
        mixed = inputs_of_layers(net, x, LayerMix(PARTNER, SHARE, torch.tensor(number)))
        for before, after in zip(plain[:number], mixed, strict=False):
            assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])
        (own, mask), (ours, joined) = plain[number][:2], mixed[number][:2]
        share = SHARE[:, None, None]
        torch.testing.assert_close(ours, share * own + (1 - share) * own[PARTNER])
        assert torch.equal(ours[0], own[0])  # a whole share keeps the clip to the bit
        assert torch.equal(joined, mask | mask[PARTNER])


def test_both_clips_of_a_pair_get_their_share_of_the_gradient():
    mix, x = LayerMix(PARTNER, SHARE, torch.tensor(0)), torch.ones(5, 3, 4, requires_grad=True)
    mix(x, None, 0)[0][1].sum().backward()  # 0.3 of clip 1, 0.7 of clip 0
    torch.testing.assert_close(x.grad.mean((1, 2)), torch.tensor([0.7, 0.3, 0, 0, 0]))


# --- export -------------------------------------------------------------------------------------


@EVERY
def test_the_exported_network_agrees_at_every_length(case):
    net = case.network()
    x = torch.randn(1, 40, *case.shape, generator=torch.Generator().manual_seed(0))
    program = exported(lambda clip: net(clip)["logits"], x[:, :7], axis=1)
    for n in (*range(1, 15), 24, 40):
        torch.testing.assert_close(program(x[:, :n]), logits(net, x[:, :n]), **CLOSE)
