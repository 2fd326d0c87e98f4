"""The 6th place's network: the folded frame encoder against the unfolded, one layer by formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.frame_deberta import FACE, FrameDeberta, Layer
from tests.models.conftest import CLOSE, FRAME_DEBERTA, LAYOUT, SIGNS, features, randomised


@pytest.fixture
def net() -> FrameDeberta:
    """Random throughout, the constants of the embedding too; statistics as at the start."""
    net = FrameDeberta(FRAME_DEBERTA, LAYOUT, SIGNS)
    statistics = {name: value.clone() for name, value in net.named_buffers()}
    randomised(net).load_state_dict(statistics, strict=False)
    return net


@pytest.fixture
def xyz() -> Tensor:
    return features(len(LAYOUT), 3)


# --- the frame encoder, as the document has it ---------------------------------------------------


class Unfolded(nn.Module):
    """recognition.md 3.4.1 and 3.4.2 step by step, with the weights of a FrameDeberta's encoder.

    Two convolutions over frames that are zero outside of the clip, type and landmark embeddings
    with their layer norms, the concatenations and dense layers, centring before each MLP, torch's
    own batch norm over the real frames.
    """

    def __init__(self, net: FrameDeberta):
        super().__init__()
        self.encoder = net.encoder
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
            rows = LAYOUT.rows(*(FACE if name == "face" else (name,)))
            part = points[:, :, list(rows)]
            centre = torch.stack(
                [clip[real].mean((0, 1)) for clip, real in zip(part, mask, strict=True)]
            )
            part = (part - centre[:, None, None]) * mask[..., None, None]
            parts[name] = self.mlp(name, part, mask)
        hands = torch.maximum(parts["left_hand"], parts["right_hand"])
        full = self.mlp("full", points, mask)
        return self.mlp("fusion", torch.cat([full, hands, parts["lips"], parts["face"]], -1), mask)


def test_the_folded_embedding_is_the_unfolded_but_for_a_constant_per_point(net, xyz):
    embedding = net.encoder.embedding
    _, constant = embedding.folded()
    unfolded = Unfolded(net).embed(xyz)
    torch.testing.assert_close(embedding(xyz) + constant, unfolded, **CLOSE)
    assert constant.abs().mean() > 0.5  # it is large: leaving it out must be justified below


def test_the_constant_does_not_matter_in_training(net, xyz, mask):
    """Batch norm takes it out: outputs and all gradients are those of the unfolded encoder.

    The same holds for centring, here before the dense layers and there after them.
    """
    oracle = Unfolded(net)
    theirs = oracle(xyz, mask)
    ours = net.encoder(xyz, mask)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)

    weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5)) * mask[..., None]
    names, parameters = zip(*net.encoder.named_parameters(), strict=True)
    of_ours = torch.autograd.grad((ours * weight).sum(), parameters)
    of_theirs = torch.autograd.grad((theirs * weight).sum(), parameters, allow_unused=True)
    scale = max(gradient.abs().max() for gradient in of_ours)
    for name, own, other in zip(names, of_ours, of_theirs, strict=True):
        if other is None:  # the oracle's batch norms have their own weights
            assert ".norm." in name
            continue
        torch.testing.assert_close(own, other, rtol=0, atol=1e-4 * scale.item(), msg=name)


def test_the_constant_does_not_matter_in_evaluation_either(net, xyz, mask):
    """Its place is in the running means: after the same training steps the outputs are the same."""
    oracle = Unfolded(net)
    for step in range(80):  # until the statistics have forgotten where they began: 0.9^80
        moved = xyz.roll(step, 0) * (1 + 0.1 * (step % 3))
        moved = torch.where(mask[..., None, None], moved, 0.0)
        oracle(moved, mask)
        net.encoder(moved, mask)
    net.eval()
    oracle.eval()
    difference = (net.encoder(xyz, mask) - oracle(xyz, mask)).abs().max()
    assert difference < 0.02  # what is left of the beginning: 0.9^80 = 2e-4, times some 10


# --- one layer ----------------------------------------------------------------------------------


def test_a_layer_is_the_documents_formula(mask):
    layer, x = Layer(16, 24, FRAME_DEBERTA, dropout=0.0), features(16)
    attended = layer.attention(x, mask)
    a = F.layer_norm(x + layer.attention_out(attended), (16,), eps=1e-7)
    i = F.mish(layer.intermediate(a))
    expected = F.layer_norm(layer.out(i + a), (24,), eps=1e-7)
    torch.testing.assert_close(layer(x, mask), expected, **CLOSE)


def test_dropout_comes_before_the_layer_norms(mask):
    """recognition.md 3.4.3: the diagram draws it behind them, the code has it before."""
    layer = Layer(16, 24, FRAME_DEBERTA, dropout=1.0)  # everything drops
    nn.init.normal_(layer.out_norm.bias)
    out = layer(features(16), mask)
    torch.testing.assert_close(out, layer.out_norm.bias.expand_as(out))
