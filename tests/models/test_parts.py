"""Parts of a frame: statistics against numpy, patch attention and cross attention written out."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.parts import CrossAttention, PatchEmbedding, PointNorm
from tests.models.conftest import normed, randomised

B, T, D, H, PATCH = 3, 5, 16, 2, 4
# Two orders of float32 sums over some hundred numbers near 1.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def points(n: int, seed: int = 1) -> Tensor:
    """(B, T, n, 2) normalised points; in two frames the part is missing, in others some points."""
    xy = torch.randn(B, T, n, 2, generator=torch.Generator().manual_seed(seed))
    xy[0, 1] = xy[2, 4] = 0
    xy[1, :, :3] = 0
    return xy


def test_points_become_numpys_deviations_over_all_frames_and_missing_ones_stay_zero():
    """Of clips in which points are missing; the last point is never seen, some are far away."""
    rng = np.random.default_rng(0)
    clips = []
    for n_frames in (1, 7, 40):
        clip = rng.normal((0.4, 0.6, -1.0), (0.1, 0.3, 2.0), (n_frames, 6, 3))
        clip += np.arange(6)[:, None]
        clip[rng.random(clip.shape[:2]) < 0.3] = np.nan
        clip[:, 5] = np.nan
        clips.append(torch.from_numpy(clip).float())
    norm, whole = PointNorm(6), PointNorm(6)
    norm.learn(clips)
    together = torch.cat(clips)[:, :5, :2].double().numpy()
    np.testing.assert_allclose(norm.mean[:5], np.nanmean(together, 0), rtol=1e-6)
    np.testing.assert_allclose(norm.std[:5], np.nanstd(together, 0), rtol=1e-6)
    assert norm.mean[5].tolist() == [0, 0] and norm.std[5].tolist() == [1, 1]
    whole.learn([torch.cat(clips)])  # in one piece or in many, it is the same
    torch.testing.assert_close(whole.mean, norm.mean)

    xy = torch.where(clips[2].isnan(), 0.0, clips[2])[None, ..., :2]
    xy[:, :2] *= torch.tensor([1e4, -1e4])[None, :, None, None]
    missing = (xy == 0).all(-1)
    out = norm(xy)
    expected = ((xy - norm.mean) / (norm.std + 1e-8)).clamp(-5, 5)
    torch.testing.assert_close(out[~missing], expected[~missing])
    assert (out == 5).any() and (out == -5).any()
    assert missing.any() and (out[missing] == 0).all()


def written_out(embedding: PatchEmbedding, xy: Tensor) -> Tensor:
    """recognition.md 4.3.1, step by step as it stands there, with torch's own modules."""
    padded = F.pad(xy, (0, 0, 0, -xy.shape[2] % PATCH))
    patches = padded.unflatten(2, (-1, PATCH)).flatten(-2)
    x = F.linear(patches, embedding.embed.weight, embedding.embed.bias) + embedding.position
    linears = (embedding.query, embedding.key, embedding.value)
    qkv = (F.linear(normed(x, embedding.norm), linear.weight) for linear in linears)
    q, k, v = (y.unflatten(-1, (H, -1)).transpose(-2, -3) for y in qkv)
    attended = F.scaled_dot_product_attention(embedding.rotary(q), embedding.rotary(k), v)
    pooled = F.linear(attended.transpose(-2, -3).flatten(-2), embedding.out.weight).mean(-2)
    missing = (xy == 0).all(-1).all(-1)
    return torch.where(missing[..., None], embedding.missing, pooled)


def embedding_of(n_points: int, dropout: float = 0.0) -> PatchEmbedding:
    return randomised(PatchEmbedding(n_points, D, PATCH, heads=H, dropout=dropout)).eval()


@pytest.mark.parametrize("n_points", [40, 21, 5, 4, 1])
def test_a_patch_embedding_is_what_the_document_writes_and_so_are_its_gradients(n_points):
    embedding, xy = embedding_of(n_points, dropout=0.1), points(n_points)
    both = embedding(xy), written_out(embedding, xy)
    torch.testing.assert_close(*both, **CLOSE)
    parameters = list(embedding.parameters())
    assert len(parameters) == 9
    gradients = (torch.autograd.grad(out.square().sum(), parameters) for out in both)
    # Sums over all frames, as large as a few hundred.
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_dropout_is_on_the_weights_and_only_in_training():
    embedding = embedding_of(21, dropout=0.9)
    xy = points(21)
    whole = embedding(xy)
    torch.manual_seed(0)
    dropped = torch.stack([embedding.train()(xy) for _ in range(600)])
    missing = (xy == 0).all(-1).all(-1)
    assert torch.equal(dropped[:, missing], whole[missing].expand(600, -1, -1))
    assert not torch.allclose(dropped[0], whole, atol=0.01)
    # The mean over dropouts is what there is without; five deviations of the mean.
    error = 5 * dropped.std(0) / 600**0.5 + 1e-6
    assert ((dropped.mean(0) - whole).abs() < error).all()


def test_half_precision_around_it_does_not_reach_it():
    embedding = embedding_of(21, dropout=0.0)
    with torch.autocast("cpu", torch.bfloat16):
        out = embedding(points(21))
    assert out.dtype == torch.float32
    assert torch.equal(out, embedding(points(21)))


@pytest.mark.parametrize("masked", [False, True])
def test_cross_attention_is_torchs_plus_the_part_itself_normed(masked):
    attention = randomised(CrossAttention(D, H, dropout=0.1)).eval()
    x, other = (torch.randn(B, T, D, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 0, 1, 1, 0]]).bool()
    theirs = nn.MultiheadAttention(D, H, bias=False, batch_first=True).eval()
    weights = [attention.query.weight, attention.key.weight, attention.value.weight]
    theirs.in_proj_weight.data = torch.cat(weights).detach()
    theirs.out_proj.load_state_dict(attention.out.state_dict())
    attended, _ = theirs(x, other, other, key_padding_mask=~mask if masked else None)
    expected = normed(x + attended, attention.norm)
    torch.testing.assert_close(attention(x, other, mask if masked else None), expected, **CLOSE)
