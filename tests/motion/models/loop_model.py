"""The spatio-temporal transformer as its authors wrote it: a Python loop over joints.

An oracle for the tests and the benchmark's rival, hence what a reader of the paper would write with
torch's plain layers, neither slowed down nor sped up. As in the authors' graph every joint has maps
of its own for query, key, value, output and feed-forward, called one after another on the joint's
features, which each block reads once; its temporal attention is computed by itself: scores divided,
a mask of -1e9 added, softmax. Spatial attention, layer norm (unlike theirs, per token) and dropout
are over all joints at once; no attention weights are returned.

Source: Aksan et al., arXiv 2004.08692, equations 3 to 5; eth-ait/motion-transformer,
spl/model/transformer.py, from sep_temporal_attention to point_wise_feed_forward_network.
"""

import torch
from torch import nn


def heads_of(x, heads):
    """(B, T, D) -> (B, H, T, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def attend(q, k, v, mask):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    weights = (scores if mask is None else scores + mask).softmax(-1)
    return weights @ v


class LoopLayer(nn.Module):
    """One layer with a linear map of its own for every joint."""

    def __init__(self, joints, width, feed_forward, heads, dropout):
        super().__init__()

        def each(inputs, outputs):
            return nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(joints))

        self.heads = heads
        self.q, self.k, self.v, self.o = (each(width, width) for _ in range(4))
        self.space_q = each(width, width)
        self.space_k, self.space_v, self.space_o = (nn.Linear(width, width) for _ in range(3))
        self.expand, self.contract = each(width, feed_forward), each(feed_forward, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask):
        joints = range(x.shape[2])
        over_time = []
        for j in joints:
            joint = x[:, :, j]
            q, k, v = (heads_of(m[j](joint), self.heads) for m in (self.q, self.k, self.v))
            out = attend(q, k, v, mask).transpose(1, 2).flatten(2)
            over_time.append(self.o[j](out))
        over_time = torch.stack(over_time, 2)
        q = torch.stack([self.space_q[j](x[:, :, j]) for j in joints], 2)
        q, k, v = (heads_of(m, self.heads) for m in (q, self.space_k(x), self.space_v(x)))
        over_joints = self.space_o(attend(q, k, v, None).transpose(-3, -2).flatten(-2))
        out = self.norms[0](x + self.dropout(over_time)) + self.norms[1](
            x + self.dropout(over_joints)
        )
        hidden = [self.contract[j](self.expand[j](out[:, :, j]).relu()) for j in joints]
        return self.norms[2](out + self.dropout(torch.stack(hidden, 2)))


class LoopModel(nn.Module):
    """Embedding, layers, output; predicts the next frame at every position."""

    def __init__(self, joints, channels, config, pattern):
        super().__init__()
        c = config
        self.embed = nn.ModuleList(nn.Linear(channels, c.width) for _ in range(joints))
        self.layers = nn.ModuleList(
            LoopLayer(joints, c.width, c.feed_forward, c.heads, c.dropout) for _ in range(c.layers)
        )
        self.out = nn.ModuleList(nn.Linear(c.width, channels) for _ in range(joints))
        self.register_buffer("pattern", pattern)
        self.register_buffer("mask", torch.triu(torch.full((c.window, c.window), -1e9), 1))
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x):
        joints, frames = range(x.shape[2]), x.shape[1]
        h = torch.stack([self.embed[j](x[:, :, j]) for j in joints], 2)
        h = self.dropout(h + self.pattern[:frames, None])
        for layer in self.layers:
            h = layer(h, self.mask[:frames, :frames])
        return x + torch.stack([self.out[j](h[:, :, j]) for j in joints], 2)

    @torch.no_grad()
    def copy_from(self, model):
        """Take the weights of an StTransformer with the published blocks."""
        _copy(self.embed, model.embedding)
        _copy(self.out, model.output)
        for mine, theirs in zip(self.layers, model.layers, strict=True):
            time, space = theirs.attentions
            for part, maps in enumerate((mine.q, mine.k, mine.v)):
                _copy(maps, time.query_key_value, part)
            _copy(mine.o, time.output)
            _copy(mine.space_q, space.query)
            for a, b in (("space_k", "key"), ("space_v", "value"), ("space_o", "output")):
                getattr(mine, a).load_state_dict(getattr(space, b).state_dict())
            _copy(mine.expand, theirs.expand)
            _copy(mine.contract, theirs.contract)
            for norm, other in zip(mine.norms, (*theirs.norms, theirs.last_norm), strict=True):
                norm.load_state_dict(other.state_dict())
        return self


def _copy(maps, batched, part=0):
    for j, linear in enumerate(maps):
        columns = slice(part * linear.out_features, (part + 1) * linear.out_features)
        linear.weight.copy_(batched.weight[j][:, columns].mT)
        linear.bias.copy_(batched.bias[j, 0, columns])
