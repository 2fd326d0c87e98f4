"""The 6th place's network: sizes, the folded encoder against the unfolded, padding, export."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src import models
from src.landmarks import Layout
from src.models.frame_deberta import FACE, Config, FrameDeberta, Layer
from src.models.mixing import LayerMix
from src.recipes.frame_deberta import LAYOUT, A, B

SIGNS = 7
# Float32 through some ten layers of sums in another order; logits are near 1.
CLOSE = {"rtol": 1e-3, "atol": 2e-5}


def build(config: Config, layout: Layout, seed: int = 0) -> FrameDeberta:
    """A network whose every parameter is random, the constants of the embedding too."""
    net = FrameDeberta(config, layout, SIGNS)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            spread = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(spread + 1 if "norm.weight" in name else spread)
    return net


@pytest.fixture
def net(config, layout) -> FrameDeberta:
    return build(config, layout)


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "published"),
    [
        (A.model, 35_143_010),
        (B.model, 13_688_418),
        (A.distilled, 9_819_298),
        (B.distilled, 6_943_394),
    ],
    ids=["A student", "B student", "A distilled", "B distilled"],
)
def test_the_four_networks_have_the_published_number_of_parameters(config, published):
    """recognition.md 3.4; nothing is allocated on the meta device."""
    with torch.device("meta"):
        net = models.build(config, LAYOUT, 250)
    assert sum(p.numel() for p in net.parameters()) == published


def test_an_unknown_config_is_refused(layout):
    with pytest.raises(TypeError, match="no network for a config of type int"):
        models.build(3, layout, SIGNS)


# --- the frame encoder, as the document has it ---------------------------------------------------


class Unfolded(nn.Module):
    """recognition.md 3.4.1 and 3.4.2 step by step, with the weights of a FrameDeberta's encoder.

    Two convolutions over frames that are zero outside of the clip, type and landmark embeddings
    with their layer norms, the concatenations and dense layers, centring before each MLP, torch's
    own batch norm over the real frames.
    """

    def __init__(self, net: FrameDeberta, layout: Layout):
        super().__init__()
        self.encoder, self.layout = net.encoder, layout
        mlps = {"full": net.encoder.full, **net.encoder.parts, "fusion": net.encoder.fusion}
        self.norms = nn.ModuleDict(
            {name: nn.BatchNorm1d(m.dense.out_features) for name, m in mlps.items()}
        )
        self.mlps = mlps
        for name, mlp in mlps.items():
            self.norms[name].load_state_dict(mlp.norm.state_dict())

    def embed(self, xyz: Tensor) -> Tensor:
        """Features of every point, (B, T, L, E)."""
        e = self.encoder.embedding
        n, n_frames, n_points, _ = xyz.shape
        tracks = xyz.permute(0, 2, 3, 1).reshape(n * n_points, 3, n_frames)
        smooth = e.conv2(e.conv1(F.pad(tracks, (4, 4))))  # kernel 5 twice: reach 4
        smooth = smooth.reshape(n, n_points, -1, n_frames).permute(0, 3, 1, 2)
        position = e.position(torch.cat([xyz, smooth], -1))
        of_type = e.type_norm(e.type_embedding(e.types)).expand(n, n_frames, -1, -1)
        number = torch.arange(1, n_points + 1)
        of_point = e.point_norm(e.point_embedding(number)).expand(n, n_frames, -1, -1)
        return e.dense(torch.cat([of_type, of_point, position], -1))

    def mlp(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """Dense, batch norm of the packed real rows, Mish; padded frames are 0."""
        rows = self.norms[name](self.mlps[name].dense(x.flatten(2))[mask])
        out = torch.zeros(*mask.shape, rows.shape[-1])
        out[mask] = F.mish(rows)
        return out

    def forward(self, xyz: Tensor, mask: Tensor) -> Tensor:
        points = self.embed(xyz)
        parts = {}
        for name in ("left_hand", "right_hand", "lips", "face"):
            rows = self.layout.rows(*(FACE if name == "face" else (name,)))
            part = points[:, :, list(rows)]
            centre = torch.stack(
                [clip[real].mean((0, 1)) for clip, real in zip(part, mask, strict=True)]
            )
            part = (part - centre[:, None, None]) * mask[..., None, None]
            parts[name] = self.mlp(name, part, mask)
        hands = torch.maximum(parts["left_hand"], parts["right_hand"])
        full = self.mlp("full", points, mask)
        return self.mlp("fusion", torch.cat([full, hands, parts["lips"], parts["face"]], -1), mask)


def test_the_folded_embedding_is_the_unfolded_but_for_a_constant_per_point(net, layout, xyz):
    embedding = net.encoder.embedding
    _, constant = embedding.folded()
    unfolded = Unfolded(net, layout).embed(xyz)
    torch.testing.assert_close(embedding(xyz) + constant, unfolded, **CLOSE)
    assert constant.abs().mean() > 0.5  # it is large: leaving it out must be justified below


def test_the_constant_does_not_matter_in_training(net, layout, xyz, mask):
    """Batch norm takes it out: outputs and all gradients are those of the unfolded encoder.

    The same holds for centring, here before the dense layers and there after them.
    """
    oracle = Unfolded(net, layout)
    theirs = oracle(xyz, mask)
    ours = net.encoder(xyz, mask)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)

    weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5)) * mask[..., None]
    names, parameters = zip(*net.encoder.named_parameters(), strict=True)
    of_ours = torch.autograd.grad((ours * weight).sum(), parameters)
    of_theirs = dict(
        zip(
            names,
            torch.autograd.grad((theirs * weight).sum(), parameters, allow_unused=True),
            strict=True,
        )
    )
    scale = max(gradient.abs().max() for gradient in of_ours)
    for name, own in zip(names, of_ours, strict=True):
        other = of_theirs[name]
        if other is None:  # the oracle's batch norms have their own weights
            assert ".norm." in name
            continue
        torch.testing.assert_close(own, other, rtol=0, atol=1e-4 * scale.item(), msg=name)


def test_the_constant_does_not_matter_in_evaluation_either(net, layout, xyz, mask):
    """Its place is in the running means: after the same training steps the outputs are the same."""
    oracle = Unfolded(net, layout)
    for step in range(60):  # until the statistics have forgotten where they began: 0.9^60
        moved = xyz.roll(step, 0) * (1 + 0.1 * (step % 3))
        moved = torch.where(mask[..., None, None], moved, 0.0)
        oracle(moved, mask)
        net.encoder(moved, mask)
    net.eval()
    oracle.eval()
    difference = (net.encoder(xyz, mask) - oracle(xyz, mask)).abs().max()
    assert (
        difference < 0.02
    )  # what is left of the beginning: 0.9^60 = 0.002, times constants near 3


def test_gradients_of_the_constants_vanish_in_training(net, xyz, mask):
    """So weight decay alone moves them, as in the published network."""
    net.encoder(xyz, mask).square().sum().backward()
    embedding = net.encoder.embedding
    moving = embedding.conv1.weight.grad.abs().max()
    for still in (embedding.type_embedding, embedding.point_embedding):
        assert still.weight.grad.abs().max() < 1e-4 * moving
    assert embedding.dense.bias.grad.abs().max() < 1e-4 * moving


# --- one layer ----------------------------------------------------------------------------------


def test_a_layer_is_the_documents_formula(config, mask):
    layer = Layer(16, 24, config, dropout=0.0)
    x = torch.randn(*mask.shape, 16, generator=torch.Generator().manual_seed(0))
    attended = layer.attention(x, mask)
    a = F.layer_norm(x + layer.attention_out(attended), (16,), eps=1e-7)
    i = F.mish(layer.intermediate(a))
    expected = F.layer_norm(layer.out(i + a), (24,), eps=1e-7)
    torch.testing.assert_close(layer(x, mask), expected, **CLOSE)


def test_dropout_comes_before_the_layer_norms(config, mask):
    """recognition.md 3.4.3: the diagram draws it behind them, the code has it before."""
    layer = Layer(16, 24, config, dropout=1.0)  # everything drops
    nn.init.normal_(layer.out_norm.bias)
    x = torch.randn(*mask.shape, 16, generator=torch.Generator().manual_seed(0))
    out = layer(x, mask)
    torch.testing.assert_close(out, layer.out_norm.bias.expand_as(out))


def test_rates_of_dropout_are_where_the_config_says(config, layout):
    config = replace(config, dropouts=(0.1, 0.2, 0.3), mlp_dropout=0.4, fusion_dropout=0.5)
    net = FrameDeberta(config, layout, SIGNS)
    assert [layer.dropout for layer in net.layers] == [0.1, 0.2, 0.3]
    assert [layer.attention.dropout for layer in net.layers] == [0.1, 0.2, 0.3]
    encoder = net.encoder
    assert {mlp.dropout for mlp in (encoder.full, *encoder.parts.values())} == {0.4}
    assert encoder.fusion.dropout == 0.5


# --- the whole network --------------------------------------------------------------------------


def logits(net: FrameDeberta, xyz: Tensor, mask: Tensor | None, **kwargs: LayerMix) -> Tensor:
    return net(xyz, mask, **kwargs)["logits"]


def padded(xyz: Tensor, mask: Tensor, n_frames: int, filling: float) -> tuple[Tensor, Tensor]:
    extra = n_frames - mask.shape[1]
    longer = F.pad(mask, (0, extra))
    xyz = F.pad(xyz, (0, 0, 0, 0, 0, extra))
    return torch.where(longer[..., None, None], xyz, filling), longer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("filling", [0.0, 1e4, float("nan"), float("inf")])
@pytest.mark.parametrize("n_frames", [12, 13, 40])
def test_more_padding_changes_no_logit(net, xyz, mask, training, filling, n_frames):
    net.train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    expected = logits(net, xyz, mask)
    after = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(before)
    longer = padded(xyz, mask, n_frames, filling)
    torch.testing.assert_close(logits(net, *longer), expected, **CLOSE)
    for name, value in net.state_dict().items():  # running statistics too
        torch.testing.assert_close(value, after[name], **CLOSE)


def test_a_clip_alone_has_the_logits_it_has_in_a_batch(net, xyz, mask):
    net.eval()
    together = logits(net, xyz, mask)
    for k in range(len(mask)):
        n = int(mask[k].sum())
        torch.testing.assert_close(logits(net, xyz[k : k + 1, :n], None)[0], together[k], **CLOSE)


@pytest.mark.parametrize("training", [True, False])
def test_the_order_of_the_batch_does_not_matter(net, xyz, mask, training):
    net.train(training)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(
        logits(net, xyz[order], mask[order]), logits(net, xyz, mask)[order], **CLOSE
    )


def test_no_mask_is_a_mask_of_real_frames(net, xyz, mask):
    everything = torch.ones_like(mask)
    torch.testing.assert_close(logits(net, xyz, None), logits(net, xyz, everything), **CLOSE)


@pytest.mark.parametrize("training", [True, False])
def test_padded_frames_get_no_gradient_and_every_real_one_does(net, xyz, mask, training):
    net.train(training)
    leaf = xyz.clone().requires_grad_()
    logits(net, leaf, mask).square().sum().backward()
    assert (leaf.grad[~mask] == 0).all()
    assert (leaf.grad[mask].abs().amax((1, 2)) > 0).all()


def test_every_parameter_learns(net, xyz, mask):
    target = torch.arange(len(mask)) % SIGNS
    F.cross_entropy(logits(net, xyz, mask), target).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_pooled_is_the_mean_over_real_frames_before_the_classifier(net, xyz, mask):
    out = net.eval()(xyz, mask)
    torch.testing.assert_close(net.classifier(out["pooled"]), out["logits"])
    x = net.encoder(xyz, mask)
    for layer in net.layers:
        x = layer(x, mask)
    means = [clip[frames].mean(0) for clip, frames in zip(x, mask, strict=True)]
    torch.testing.assert_close(out["pooled"], torch.stack(means), **CLOSE)


# --- manifold mixup -----------------------------------------------------------------------------

PARTNER, SHARE = torch.tensor([3, 0, 2, 4, 1]), torch.tensor([0.9, 0.3, 0.5, 0.6, 0.1])


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_mixup_enters_before_the_chosen_layer_alone(net, xyz, mask, chosen):
    net.eval()
    x, joined = net.encoder(xyz, mask), mask
    for number, layer in enumerate(net.layers):
        if number == chosen:
            share = SHARE[:, None, None]
            x = share * x + (1 - share) * x[PARTNER]
            joined = mask | mask[PARTNER]
        x = layer(x, joined)
    pooled = torch.stack([clip[frames].mean(0) for clip, frames in zip(x, joined, strict=True)])
    ours = logits(net, xyz, mask, mix=LayerMix(PARTNER, SHARE, torch.tensor(chosen)))
    torch.testing.assert_close(ours, net.classifier(pooled), **CLOSE)
    assert (ours - logits(net, xyz, mask)).abs().max() > 0.01


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_more_padding_changes_no_mixed_logit(net, xyz, mask, chosen):
    net.eval()
    mix = LayerMix(PARTNER, SHARE, torch.tensor(chosen))
    longer = padded(xyz, mask, 30, filling=1e4)
    torch.testing.assert_close(
        logits(net, *longer, mix=mix), logits(net, xyz, mask, mix=mix), **CLOSE
    )


# --- export -------------------------------------------------------------------------------------


class Logits(nn.Module):
    """What is exported: one clip without padding."""

    def __init__(self, net: FrameDeberta):
        super().__init__()
        self.net = net

    def forward(self, xyz: Tensor) -> Tensor:
        return self.net(xyz)["logits"]


def test_the_exported_network_agrees_at_every_length(config, layout):
    """From one example; recognition.md 3.7: the same log buckets as in training."""
    module = Logits(build(config, layout)).eval()
    clip = torch.randn(
        1, config.max_len, len(layout), 3, generator=torch.Generator().manual_seed(0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 deprecates its own tree specs
        program = torch.export.export(
            module,
            (clip[:, :7],),
            dynamic_shapes=({1: torch.export.Dim.DYNAMIC},),
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        ).module()
    for n_frames in range(1, config.max_len + 1):
        part = clip[:, :n_frames]
        torch.testing.assert_close(program(part), module(part), **CLOSE)
