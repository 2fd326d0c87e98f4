"""Rewrites of an exported graph that leave less to compute in the file. Each is exact.

- A batch norm disappears into the layer before it: at inference g (Wx + b - m) / sqrt(v + eps) + h
  is one layer with other numbers. This also works across the reshapes and transposes that models
  put in between to normalise over batch and time together.
- A layer applied to rows looked up in a table becomes a lookup in the transformed table, which
  torch computes once. DeBERTa's relative positions are such rows: without this rewrite each call
  would project them again, which costs two thirds as much as the rest of a layer.
- A linear layer on sliding windows becomes the equivalent convolution, which copies no windows.
- A gather with the same indices in every head is marked as such (`gather_rows`), so it can move
  the heads of a pair of frames together instead of number by number.

Measured on member B of the 6th place, 16 frames: 4.7 ms without the second rewrite, 3.9 with it,
3.2 with the third, 3.0 with the fourth; the network's bare matrix products take 2.4.

Letters: **B** batch, **T** frames, **L** points, **C** channels, **k** window.
"""

from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.fx.node import map_arg

_ATEN = torch.ops.aten
_LINEAR = _ATEN.linear.default
_CONV = _ATEN.conv1d.default
_NORM = _ATEN._native_batch_norm_legit_no_training.default
_LOOKUP = _ATEN.embedding.default
_RESHAPES = (_ATEN.view.default, _ATEN.clone.default)  # what torch decomposes reshapes into

Constants = dict[str, Any]  # by node name


def simplify(graph: Graph, constants: Constants) -> None:
    """Apply every rewrite to an exported graph in inference form, in place.

    `constants` holds what does not depend on the input; the numbers of new layers are added.
    """
    # Fold first: the rewrites look for constants, and some weights are computed from parameters.
    fold(graph, constants)
    _fuse_batch_norms(graph, constants)
    _transform_tables(graph, constants)
    _windows_to_convolutions(graph, constants)
    _mark_shared_indices(graph)


def fold(graph: Graph, constants: Constants) -> None:
    """Let torch compute every node that does not depend on an input."""
    for node in graph.nodes:  # in the order of execution: one pass reaches every such node
        fixed = all(n.name in constants for n in node.all_input_nodes)
        if node.op == "call_function" and node.name not in constants and fixed:
            args, kwargs = map_arg((node.args, node.kwargs), lambda n: constants[n.name])
            with torch.no_grad():
                constants[node.name] = node.target(*args, **kwargs)


def _constant(graph: Graph, before: Node, name: str, value: Tensor, constants: Constants) -> Node:
    """A new constant, as a node that comes before another."""
    with graph.inserting_before(before):
        node = graph.placeholder(name)
    constants[node.name] = value
    return node


# --- batch norm ---------------------------------------------------------------------------------


def _fuse_batch_norms(graph: Graph, constants: Constants) -> None:
    for norm in [n for n in graph.nodes if n.target is _NORM]:
        layer = _layer_before(norm)
        # The weight and bias of the layer, and the gain, shift, mean and variance of the norm: all
        # must be known now; a weight that is computed from the input cannot absorb the norm.
        fixed = [] if layer is None else [*layer.args[1:3], *norm.args[1:5]]
        if layer is None or any(n is not None and n.name not in constants for n in fixed):
            continue
        # The layer gets the new numbers, and nodes that read the norm now read the norm's input.
        weight, bias = _fused(layer, norm, constants)
        weight = _constant(graph, layer, f"{norm.name}_weight", weight, constants)
        bias = _constant(graph, layer, f"{norm.name}_bias", bias, constants)
        layer.args = (layer.args[0], weight, bias, *layer.args[3:])
        (result,) = norm.users  # getitem 0: the batch statistics are not read at inference
        result.replace_all_uses_with(norm.args[0])


def _layer_before(norm: Node) -> Node | None:
    """The layer whose channels `norm` scales, if nothing else reads that layer's result."""
    node, (_, channels, *rest) = norm.args[0], norm.meta["val"][0].shape
    # Any other reader of a result on the way would get scaled numbers: each node needs one user.
    if len(node.users) != 1:
        return None
    if node.target is _CONV:
        return node
    # The norm scales dimension 1, but a linear layer's channels are the last dimension. On (B, C)
    # these are the same; on (B, C, T) a transpose must have moved the channels to dimension 1 ...
    if rest:
        if node.target is not _ATEN.permute.default:
            return None
        # ... from the last dimension, and not from another one that happens to be as long.
        node, order = node.args
        if order[1] % len(order) != len(order) - 1:
            return None
        if node.meta["val"].shape[-1] != channels:
            return None
    # (B, T, C) is often flattened to (B T, C), which leaves each row's channels together.
    while node.target in _RESHAPES and len(node.users) == 1:
        node = node.args[0]
    if node.target is not _LINEAR or len(node.users) != 1:
        return None
    return node if node.meta["val"].shape[-1] == channels else None


def _fused(layer: Node, norm: Node, constants: Constants) -> tuple[Tensor, Tensor]:
    """The weight and bias of the layer with the norm after it merged in."""
    # A layer without bias may have two arguments only, or None as its third.
    weight, bias = (constants[n.name] if n else None for n in (*layer.args[1:3], None)[:2])
    gain, shift, mean, variance = (constants[n.name] if n else None for n in norm.args[1:5])
    scale = torch.rsqrt(variance + norm.args[6])
    scale = scale if gain is None else scale * gain
    offset = -mean if bias is None else bias - mean
    offset = offset * scale if shift is None else offset * scale + shift
    return weight * scale.view(-1, *[1] * (weight.dim() - 1)), offset


# --- lookups ------------------------------------------------------------------------------------


def _transform_tables(graph: Graph, constants: Constants) -> None:
    for node in graph.nodes:  # in order, so a chain of layers moves as a whole
        by_row = node.target is _ATEN.layer_norm.default and len(node.args[1]) == 1
        if not by_row and node.target is not _LINEAR:
            continue
        # layer(table[rows], ...) with a table and parameters that are constants ...
        lookup, *rest = node.args
        table = lookup.args[0] if lookup.target is _LOOKUP else None
        if table is None or table.name not in constants:
            continue
        if any(isinstance(n, Node) and n.name not in constants for n in rest):
            continue
        # ... becomes layer(table, ...)[rows]. The first part is a constant: it is folded at once,
        # because the next layer of the chain looks for a constant table.
        with graph.inserting_before(node):
            transformed = graph.call_function(node.target, (table, *rest), node.kwargs)
            moved = graph.call_function(_LOOKUP, (transformed, lookup.args[1]))
        transformed.meta = moved.meta = dict(node.meta)
        fold(graph, constants)
        node.replace_all_uses_with(moved)


# --- windows ------------------------------------------------------------------------------------


def _windows_to_convolutions(graph: Graph, constants: Constants) -> None:
    """linear(windows of (B, T, L, C) along T, flattened to C k) = a (k, 1) convolution."""
    for linear in [n for n in graph.nodes if n.target is _LINEAR]:
        # Find the windows, which may have been reshaped on the way to the layer.
        flat, weight, *bias = linear.args
        windows = flat
        while windows.target in _RESHAPES:
            windows = windows.args[0]
        if windows.target is not _ATEN.unfold.default or weight.name not in constants:
            continue
        # Take only windows that start at every frame and are flattened over channels and window.
        x, dim, size, step = windows.args
        *_, channels, _ = windows.meta["val"].shape
        rows = flat.meta["val"]
        flattened = rows.dim() == 4 and rows.shape[-1] == channels * size
        if windows.meta["val"].dim() != 5 or dim != 1 or step != 1 or not flattened:
            continue
        # (C', C k) -> (C', C, k, 1): time is the image's height, the points are its width.
        kernel = constants[weight.name].unflatten(1, (channels, size, 1))
        kernel = _constant(graph, linear, f"{linear.name}_kernel", kernel, constants)
        with graph.inserting_before(linear):
            planes = graph.call_function(_ATEN.permute.default, (x, [0, 3, 1, 2]))
            y = graph.call_function(_ATEN.conv2d.default, (planes, kernel, *bias))
            back = graph.call_function(_ATEN.permute.default, (y, [0, 2, 3, 1]))
        back.meta = planes.meta = y.meta = dict(linear.meta)
        linear.replace_all_uses_with(back)


# --- gathers ------------------------------------------------------------------------------------


def gather_rows(x: Tensor, index: Tensor) -> Tensor:
    """out[..., i, j] = x[..., i, index[i, j]]: the same indices for all dimensions before i."""
    return x.gather(-1, index.expand(*x.shape[:-1], index.shape[-1]))


def _mark_shared_indices(graph: Graph) -> None:
    for node in [n for n in graph.nodes if n.target is _ATEN.gather.default]:
        # Find gathers along the last dimension whose indices were repeated to fit.
        x, dim, index = node.args[:3]
        rank = x.meta["val"].dim()
        if dim % rank != rank - 1 or index.target is not _ATEN.expand.default:
            continue
        # One matrix of indices, for all of x's rows, must have been repeated for each head. The
        # number of heads must be known now, because the lookup puts them side by side in one row.
        shared = index.args[0]
        heads = x.meta["val"].shape[:-2]
        same_rows = shared.meta["val"].shape[0] == x.meta["val"].shape[-2]
        fits = shared.meta["val"].dim() == 2 and rank > 2 and same_rows
        known = all(isinstance(size, int) for size in heads)
        if fits and known and index.meta["val"].shape[:-2] == heads:
            node.target, node.args = gather_rows, (x, shared)
