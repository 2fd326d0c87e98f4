"""The second, independent route: torch -> ONNX -> onnx2tf, for a network at fixed lengths.

It shares nothing with the table of operators, so the two routes check each other; it also serves
networks whose operators the table lacks.

- onnx2tf is right only at fixed lengths. A network is converted once per bucket of lengths; the
  file pads the clip to the next bucket, masks the padding, and picks the network by nested
  `tf.cond` (`tf.switch_case` does not convert). So a network needs a mask: `core(xyz, mask)`.
- The converted networks are inlined in the branches with their constants: functions of variables
  would copy all weights at each call.
- onnx2tf reports no error when its result is wrong, so both steps are compared with torch. Where no
  copy is right, onnx2tf's strict mode makes another, which is three times slower.

Letters: **T** frames, **L** points, **K** signs.
"""

import contextlib
import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from pathlib import Path

import numpy as np
import onnxruntime
import tensorflow as tf
import torch
from jaxtyping import Bool, Float, Shaped
from onnxscript.optimizer import fold_constants_ir, inline, remove_unused_nodes
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from torch import Tensor

from src.common.errors import InputError
from src.common.news import say
from src.tflite.converter import quiet_export
from src.tflite.converter.ops_nn import ENLARGED, VANISHES
from src.tflite.interpreter import SIGNATURE
from src.tflite.members import Member

# In frames; `_longest` adds a member's last one. They are primes because onnx2tf guesses a tensor's
# layout from its sizes: a length that equals a width (16 frames, 16 features) misleads it.
BUCKETS: tuple[int, ...] = (7, 13, 23, 41)
# A share of the largest logit. A wrong layout is off by all of it; a right one by 1e-6, or by 1e-4
# in a network that sums as much as hierarchical does.
_TOLERANCE = 1e-3
_INPUTS = ("xyz", "mask")
_ANY_SIZE = 1 << 40  # a size limit that no constant reaches
Copy = tf.types.experimental.ConcreteFunction  # (xyz, mask) -> logits, with constant weights


class NotConverted(InputError):
    """onnx2tf makes no right copy of a network, although its ONNX copy agrees with torch."""


class OnnxCore:
    """A member's network, `core(xyz, mask)`, by way of ONNX: one fixed-length copy per bucket.

    Args:
        member: the one whose network is converted.
        every_bucket: False = only the longest bucket, to which every clip is padded.

    Raises:
        NotConverted: onnx2tf cannot convert the network, or its copy does not agree with torch.
        InputError: torch cannot write the network as ONNX (its core takes no mask, or ONNX lacks
            an operator), or the ONNX copy does not agree with torch.
    """

    def __init__(self, member: Member, every_bucket: bool = True) -> None:
        shorter = [b for b in BUCKETS if b < member.max_len] if every_bucket else []
        self.buckets = (*shorter, _longest(member))
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}
        self._copies: dict[int, Copy] = {}
        for length in self.buckets:
            with tempfile.TemporaryDirectory() as folder:
                self._convert(member, length, Path(folder))

    def __call__(self, xyz: tf.Tensor) -> tf.Tensor:
        """The logits of one clip (1, T, L, 3); frames beyond the longest bucket are not read."""
        xyz = xyz[:, : self.buckets[-1]]
        frames = tf.shape(xyz)[1]
        padded = tf.pad(xyz, [[0, 0], [0, self.buckets[-1] - frames], [0, 0], [0, 0]])
        return self._pick(padded, frames, self.buckets)

    def by_onnxruntime(self, xyz: Float[np.ndarray, "1 T L 3"]) -> Float[np.ndarray, "1 K"]:
        """The logits from the ONNX files alone: the rung between torch and onnx2tf."""
        xyz = xyz[:, : self.buckets[-1]]
        length = next(b for b in self.buckets if b >= xyz.shape[1])
        padded = np.pad(xyz, [(0, 0), (0, length - xyz.shape[1]), (0, 0), (0, 0)])
        mask = np.arange(length)[None] < xyz.shape[1]
        return self._sessions[length].run(None, {"xyz": padded, "mask": mask})[0]

    def _pick(self, padded: tf.Tensor, frames: tf.Tensor, buckets: tuple[int, ...]) -> tf.Tensor:
        shortest, longer = buckets[0], buckets[1:]

        def here() -> tf.Tensor:
            mask = tf.range(shortest)[None] < frames
            return _inlined(self._copies[shortest], padded[:, :shortest], mask)

        if not longer:
            return here()
        return tf.cond(frames <= shortest, here, lambda: self._pick(padded, frames, longer))

    def _convert(self, member: Member, length: int, folder: Path) -> None:
        """Make the copies for one bucket and compare each step with torch."""
        # torch -> ONNX; a network that takes no mask is refused here
        path, (xyz, mask) = folder / "core.onnx", _example(member, length)
        say(f"{member.name} for {length} frames: torch to ONNX")
        _to_onnx(member, (xyz, mask), path)
        with torch.no_grad():
            expected = member.core(xyz, mask).numpy()
        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
        got = session.run(None, {"xyz": xyz.numpy(), "mask": mask.numpy()})[0]
        _compare(got, expected, InputError, f"{member.name}: its ONNX copy for {length} frames")

        # ONNX -> TensorFlow: in strict mode only where the fast mode makes no right copy
        for strict in (False, True):
            say(f"{member.name} for {length} frames: ONNX to TensorFlow" + ", strictly" * strict)
            try:
                copy = _to_tensorflow(member, path, folder / f"strict_{strict}", strict)
                got = _inlined(copy, tf.constant(xyz.numpy()), tf.constant(mask.numpy())).numpy()
                what = f"{member.name}: its onnx2tf copy for {length} frames"
                _compare(got, expected, NotConverted, what)
            except NotConverted:
                if strict:
                    raise
            else:
                break
        self._sessions[length], self._copies[length] = session, copy


def _longest(member: Member) -> int:
    """The length of the last bucket: that of the longest clip, or a few frames more.

    It is longer if a weight has the longest clip's size, which would mislead onnx2tf: the 1st
    place's network takes 384 frames and is 384 wide.
    """
    sizes = {size for weight in member.core.parameters() for size in weight.shape}
    if member.max_len not in sizes:
        return member.max_len
    free = next(n for n in count(member.max_len) if n not in sizes)
    try:
        with torch.no_grad():
            member.core(*_example(member, free))
    except (RuntimeError, IndexError, TypeError):  # its tables end at max_len, or it has no mask
        return member.max_len
    return free


def _compare(
    got: np.ndarray, expected: np.ndarray, error: type[InputError], member_and_copy: str
) -> None:
    """Refuse a copy that differs from torch by too large a share of the largest logit."""
    off = np.inf
    if got.shape == expected.shape:
        off = np.abs(got - expected).max() / np.abs(expected).max()
    if not off < _TOLERANCE:  # so NaN is refused, too
        raise error(
            f"ensemble member {member_and_copy} differs from torch by {off:.2g} of the largest "
            f"logit (allowed {_TOLERANCE:g})"
        )


def _example(member: Member, length: int) -> tuple[Float[Tensor, "1 T L 3"], Bool[Tensor, "1 T"]]:
    """A clip that ends before the bucket does, with missing points."""
    draw = torch.Generator().manual_seed(length)
    xyz = torch.randn(1, length, len(member.sources), 3, generator=draw)
    missing = torch.rand(xyz.shape[:-1], generator=draw) < 0.3
    real = torch.arange(length)[None] < max(1, length - 2)
    return torch.where(missing[..., None] & real[..., None, None], torch.nan, xyz), real


def _to_onnx(member: Member, example: tuple[Tensor, Tensor], path: Path) -> None:
    """Write the network at the example's length as ONNX, by torch.export and torch.onnx."""
    try:
        with _quietly(), quiet_export():
            exported = torch.export.export(member.core, example, strict=False)
            exported = exported.run_decompositions(_IN_SIMPLER_OPERATIONS)
            # Not optimized: the optimizer rewrites x + c as x where |c| < 1e-8, and loses epsilons.
            program = torch.onnx.export(
                exported,
                dynamo=True,
                input_names=_INPUTS,
                output_names=["logits"],
                optimize=False,
                verbose=False,
            )
            # Fold tables made from constants into one constant: onnx2tf 1.28 loses sums of them.
            inline(program.model)
            fold_constants_ir(
                program.model, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE
            )
            remove_unused_nodes(program.model)
            program.save(str(path))
    except Exception as error:  # torch and onnx raise dozens of types here
        cause: BaseException = error
        while cause.__cause__:  # torch's own message on top is only general advice
            cause = cause.__cause__
        reason = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        raise InputError(
            f"ensemble member {member.name}: torch cannot write its features and network as ONNX "
            f"at {example[0].shape[1]} frames, called with xyz and mask: {reason}; to go on "
            "without this route, set SECOND_ROUTE=none"
        ) from error


def _flat_gather(
    x: Shaped[Tensor, "..."], dim: int, index: Shaped[Tensor, "..."], sparse_grad: bool = False
) -> Shaped[Tensor, "..."]:
    """torch.gather along the last dimension as a lookup in the flattened tensor.

    onnx2tf 1.28 fails on a gather of constant indices.
    """
    if dim % x.dim() != x.dim() - 1:
        return NotImplemented
    rows, columns = x.numel() // x.shape[-1], x.shape[-1]
    flat = index.reshape(rows, -1) + torch.arange(rows)[:, None] * columns
    return x.reshape(-1).index_select(0, flat.reshape(-1)).reshape(index.shape)


def _root_of_squares(
    x: Shaped[Tensor, "..."],
    ord: int | float = 2,
    dim: list[int] | None = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Shaped[Tensor, "..."]:
    """torch.linalg.vector_norm as a sum and its root: onnx2tf 1.28 fails on ONNX's ReduceL2."""
    if ord != 2 or dim is None or dtype is not None:
        return NotImplemented
    return x.square().sum(dim, keepdim).sqrt()


def _rms_norm(
    x: Shaped[Tensor, "..."],
    shape: list[int],
    weight: Shaped[Tensor, "..."] | None = None,
    eps: float | None = None,
) -> Shaped[Tensor, "..."]:
    """torch.rms_norm; an epsilon that would vanish is enlarged, as in `ops_nn.over_root`."""
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    if eps < VANISHES:
        x, eps = x * ENLARGED, eps * ENLARGED**2
    y = x * (x.square().mean(list(range(-len(shape), 0)), keepdim=True) + eps).rsqrt()
    return y if weight is None else y * weight


_IN_SIMPLER_OPERATIONS = {
    torch.ops.aten.gather.default: _flat_gather,
    torch.ops.aten.linalg_vector_norm.default: _root_of_squares,
    torch.ops.aten.rms_norm.default: _rms_norm,
}


def _to_tensorflow(member: Member, onnx_path: Path, folder: Path, strict: bool) -> Copy:
    """The ONNX file as a TensorFlow function whose weights are constants."""
    # onnx2tf lifts the recursion limit for the whole process: endlessly nested JSON would then
    # crash the process instead of raising an error.
    limit = sys.getrecursionlimit()
    try:
        onnx2tf = import_module("onnx2tf")  # imported only here, because it prints and warns
    finally:
        sys.setrecursionlimit(limit)
    try:
        with _quietly() as said:
            onnx2tf.convert(
                input_onnx_file_path=str(onnx_path),
                output_folder_path=str(folder),
                keep_shape_absolutely_input_names=list(_INPUTS),
                output_signaturedefs=True,
                disable_strict_mode=not strict,
                non_verbose=True,
                verbosity="error",
            )
        loaded = tf.saved_model.load(str(folder))
        return convert_variables_to_constants_v2(loaded.signatures[SIGNATURE])
    except (Exception, SystemExit) as error:  # onnx2tf exits the process when it gives up
        # It prints the name of the operation, then general advice.
        node = re.search(r"onnx_op_name: (\S+)", said.getvalue())
        reason = f"it gave up at {node[1]}" if node else f"{type(error).__name__}: {error}"[:200]
        raise NotConverted(
            f"ensemble member {member.name}: onnx2tf cannot convert its network: {reason}"
        ) from error


def _inlined(function: Copy, xyz: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Copy a frozen function's operations into the graph that is being built."""
    names = {tensor.op.name: tensor.name for tensor in function.inputs}

    @tf.function(autograph=False)
    def run(xyz: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        (logits,) = tf.graph_util.import_graph_def(
            function.graph.as_graph_def(),
            input_map={names["xyz"]: xyz, names["mask"]: mask},
            return_elements=[function.outputs[0].name],
        )
        return logits

    # Outside any graph, as in the comparison with torch, `run` makes a graph.
    return run(xyz, mask) if tf.executing_eagerly() else run.python_function(xyz, mask)


@contextlib.contextmanager
def _quietly() -> Iterator[io.StringIO]:
    """Catch what the converters print; let onnx2tf find the programs of this environment."""
    said, path = io.StringIO(), os.environ.get("PATH", "")
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"  # it calls onnxsim
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield said
    finally:
        os.environ["PATH"] = path
        logging.disable(disabled)
