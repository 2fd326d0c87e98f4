"""The 6th place's network: the folded frame encoder against the unfolded, one layer by formula."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.frame_deberta import FrameDeberta, Layer
from tests.benchmarks.hugging_face import FrameEncoder, Mlp
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


class NormOfRealFrames(nn.BatchNorm1d):
    """torch's own batch norm over the packed real rows; padded ones come out as 0."""

    def forward(self, rows: Tensor) -> Tensor:
        out = torch.zeros_like(rows)
        out[self.real] = super().forward(rows[self.real])
        return out


class Unfolded(FrameEncoder):
    """recognition.md 3.4.1 and 3.4.2 step by step, with the weights of a FrameDeberta's encoder.

    Two convolutions over frames that are zero outside of the clip, type and landmark embeddings
    with their layer norms, the concatenations and dense layers, centring before each MLP, batch
    norms of its own. With torch's BatchNorm1d it is 3.4 as the authors' code has it: over all rows
    of 32 clips, padded ones too, of type and landmark 0.
    """

    def __init__(self, net: FrameDeberta, norm: type[nn.BatchNorm1d] = NormOfRealFrames):
        ours = net.encoder
        super().__init__(ours.config, LAYOUT, ours.fusion.dense.out_features)
        for name, layer in ours.embedding.named_children():
            setattr(self, name, layer)
        self.conv1 = nn.Sequential(nn.ZeroPad1d(4), self.conv1)  # kernel 5 twice: reach 4
        self.mlps = {name: mlp for name, mlp in self.named_modules() if isinstance(mlp, Mlp)}
        for name, mlp in self.mlps.items():
            own = ours.get_submodule(name)
            mlp.dense, mlp.norm = own.dense, norm(own.dense.out_features)
            mlp.norm.load_state_dict(own.norm.state_dict())

    def forward(self, xyz: Tensor, mask: Tensor) -> Tensor:
        for mlp in self.mlps.values():
            mlp.norm.real = mask.flatten()
        return super().forward(xyz, mask)


def test_the_folded_embedding_is_the_unfolded_but_for_a_constant_per_point(net, xyz):
    moving, constant, _ = net.encoder.embedding(xyz)
    unfolded = Unfolded(net).embed(xyz, torch.ones(xyz.shape[:2]))
    torch.testing.assert_close(moving + constant, unfolded, **CLOSE)
    assert constant.abs().mean() > 0.5  # it is large: leaving it out must be justified below


def test_the_constant_does_not_matter_in_training(net, xyz, mask):
    """Batch norm takes it out: outputs and all gradients are those of the unfolded encoder. So
    it is with centring, here before the dense layers and there after them."""
    theirs = Unfolded(net)(xyz, mask)
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


# --- batch norms over padded frames, and without the embeddings of what is missing ----------------


def with_norm_rows(norm_rows: str) -> FrameDeberta:
    config = replace(FRAME_DEBERTA, norm_rows=norm_rows)
    return randomised(FrameDeberta(config, LAYOUT, SIGNS)).train()


def test_the_codes_batch_norms_are_torchs_over_padded_frames_of_32_clips(xyz, mask):
    """Twelve groups of five clips make a batch of 60, dealt in turn to two GPUs: it is sorted by
    length, and in rows the statistics kept would be those of its short clips."""
    net = with_norm_rows("padded")
    scale = torch.linspace(0.5, 1.5, 12)[:, None, None, None, None]
    many = (xyz * scale).flatten(0, 1)
    masks = mask.repeat(12, 1)
    many = torch.where(masks[..., None, None], many, 0.0)
    gpus = [Unfolded(net, nn.BatchNorm1d) for _ in range(2)]
    ours = net.encoder(many, masks)
    expected = torch.empty_like(ours)
    for k, gpu in enumerate(gpus):
        expected[k::2] = gpu(many[k::2], masks[k::2])
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=2e-4)
    for name, mlp in gpus[0].mlps.items():  # the first GPU's statistics are kept
        kept, first = net.encoder.get_submodule(name).norm, mlp.norm
        torch.testing.assert_close(kept.running_mean, first.running_mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(kept.running_var, first.running_var, rtol=1e-4, atol=1e-5)
    for module in (net, gpus[0]):
        module.eval()
    torch.testing.assert_close(net.encoder(xyz, mask), gpus[0](xyz, mask), rtol=1e-3, atol=2e-4)


def test_for_the_codes_batch_norms_a_batch_is_padded_to_the_longest_clip_there_can_be(xyz, mask):
    net, short = with_norm_rows("padded"), mask.sum(1) <= 9
    xyz = torch.where(mask[..., None, None], xyz, 0.0)[short]
    expected = Unfolded(net, nn.BatchNorm1d)(xyz, mask[short])[:, :9]
    ours = net.encoder(xyz[:, :9], mask[short, :9])
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=2e-4)


def test_a_missing_landmark_takes_its_embedding_along(xyz, mask):
    """Features of what is missing are 0 before the dense layers; the rest is the unfolded form."""

    class Seen(Unfolded):
        def embed(self, xyz: Tensor, mask: Tensor) -> Tensor:
            return super().embed(xyz, mask) * (xyz != 0).any(-1)[..., None]

    net = with_norm_rows("seen")
    hidden = torch.rand(xyz.shape[:3], generator=torch.Generator().manual_seed(4)) < 0.3
    xyz = xyz.masked_fill(hidden[..., None], 0.0)
    torch.testing.assert_close(net.encoder(xyz, mask), Seen(net)(xyz, mask), rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(
    ("norm_rows", "matter"), [("real", False), ("padded", True), ("seen", True)]
)
def test_whether_the_embeddings_matter(norm_rows, matter, xyz, mask):
    net = with_norm_rows(norm_rows)
    xyz = xyz.masked_fill((torch.arange(len(LAYOUT)) % 4 == 0)[:, None], 0.0)
    xyz[:, ::2, :3] = 0.0
    before = net(xyz, mask)["logits"]
    torch.nn.init.normal_(net.encoder.embedding.type_embedding.weight)
    torch.nn.init.normal_(net.encoder.embedding.point_embedding.weight)
    moved = (net(xyz, mask)["logits"] - before).norm() / before.norm()
    assert (moved > 0.05) == matter and (matter or moved < 1e-4)


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
