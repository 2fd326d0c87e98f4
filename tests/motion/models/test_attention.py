"""Attention written out for every joint, by einsum, against the batched products."""

import pytest
import torch

from src.motion.models.attention import SpaceAttention, TimeAttention

JOINTS, BATCH, FRAMES, WIDTH, HEADS = 15, 2, 5, 16, 4
DEPTH = WIDTH // HEADS
LATER = torch.triu(torch.full((FRAMES, FRAMES), -torch.inf), 1)


def tokens():
    return torch.randn(JOINTS, BATCH, FRAMES, WIDTH)


def per_joint(layer, x):
    """The layer's map of every joint, one after another."""
    return torch.stack([x[j] @ layer.weight[j] + layer.bias[j] for j in range(JOINTS)])


def heads(x):
    return x.unflatten(-1, (HEADS, DEPTH))  # (J, B, T, H, d)


def with_biases(block):
    """Biases begin as 0, which could hide a mistake."""
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block


@pytest.mark.parametrize("whole_pose", [False, True])
def test_attention_over_time_is_equation_5_or_the_reading_of_study_08(whole_pose):
    block, x = with_biases(TimeAttention(JOINTS, WIDTH, HEADS, whole_pose)), tokens()
    q, k, v = map(heads, per_joint(block.query_key_value, x).chunk(3, -1))
    scores = torch.einsum("jbshd,jbthd->jbhst", q, k)
    if whole_pose:  # one map for all joints: their scores are added
        scores = scores.sum(0, keepdim=True).expand_as(scores) / JOINTS**0.5
    weights = (scores / DEPTH**0.5 + LATER).softmax(-1)
    expected = per_joint(block.output, torch.einsum("jbhst,jbthd->jbshd", weights, v).flatten(-2))
    assert torch.allclose(block(x), expected, atol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_attention_over_joints_is_equation_3_or_4(shared):
    block, x = with_biases(SpaceAttention(JOINTS, WIDTH, HEADS, shared)), tokens()
    if shared:
        q, k, v = map(heads, (per_joint(block.query, x), block.key(x), block.value(x)))
    else:
        q, k, v = map(heads, per_joint(block.query_key_value, x).chunk(3, -1))
    weights = (torch.einsum("ibthd,jbthd->bthij", q, k) / DEPTH**0.5).softmax(-1)
    expected = block.output(torch.einsum("bthij,jbthd->ibthd", weights, v).flatten(-2))
    assert torch.allclose(block(x), expected, atol=1e-5)
