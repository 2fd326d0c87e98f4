"""torch.export program -> TensorFlow operations, through one table.

- The plain torch module is the only definition of a model: its exported graph is walked node by
  node, and `TABLE` says what each ATen operator is in TensorFlow.
- An operator that the table lacks is first decomposed by torch into simpler ones. If the table
  lacks one of those too, the translation is refused with an error that names all missing operators.
- To add an operator: write `(node, *its torch arguments) -> tf.Tensor` in the file of its kind
  (`ops_elementwise.py`, `ops_shape.py`, `ops_nn.py`), a line in that file's table, and a case in
  tests/tflite/converter/test_ops.py. Operators that torch can decompose are there for speed.
- Whatever does not depend on the input is computed by torch at conversion and becomes a constant;
  `simplify.py` rewrites the graph so that more of it is constant.
- The size assertions that torch adds to a graph are dropped: they hold for every length that the
  program was exported for, and `check` compares several lengths.

Letters: **T** frames, known only at run time.
"""

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils._pytree import tree_leaves

from src.common.errors import InputError, raised_at
from src.tflite.converter import ops_elementwise, ops_nn, ops_shape, quiet_export
from src.tflite.converter.ops_elementwise import SCALAR_TABLE
from src.tflite.converter.simplify import simplify
from src.tflite.converter.values import as_tf, is_dynamic

TABLE: dict[Any, Callable] = {**ops_elementwise.TABLE, **ops_shape.TABLE, **ops_nn.TABLE}
_TOLERANCE = 1e-3  # far above float32's rounding, far below a wrong frame or a wrong row


class Program:
    """One exported torch program of tensors, callable on TensorFlow tensors.

    Attributes:
        nodes: the torch operations that are left to run, in order.

    Raises:
        InputError: operators that neither the table nor torch's decompositions cover; all of them
            are named, with the module each came from.
    """

    def __init__(self, exported: ExportedProgram) -> None:
        # Decompose first: the rewrites and the table then see few operators instead of many.
        decompositions = torch.export.default_decompositions()
        for target in TABLE:  # keep these whole; our own rewrites are not torch's operators
            if isinstance(target, torch._ops.OpOverload):
                decompositions.pop(target, None)
        with quiet_export(), torch.no_grad():  # without gradients it takes a quarter less time
            exported = exported.run_decompositions(decompositions)
        # The weights are constants; `simplify` adds everything that follows from them alone.
        self._constants = _constants(exported)
        self._inputs = exported.graph_signature.user_inputs
        simplify(exported.graph, self._constants)
        # Only what the result depends on is run: not what has become a constant or was replaced,
        # and not torch's assertions about sizes, which have no result.
        self._results = _results(exported)
        needed = _needed(self._results, self._constants)
        self.nodes = [n for n in exported.graph.nodes if n in needed and n.op == "call_function"]
        self._refuse_unknown_operators()

    def __call__(self, *inputs: tf.Tensor) -> tf.Tensor | list[tf.Tensor]:
        """The result (or results) on TensorFlow tensors, inside or outside a tf.function."""
        # Like an interpreter: keep each node's result under its name for the nodes that use it.
        values = {**self._constants, **dict(zip(self._inputs, inputs, strict=True))}
        for node in self.nodes:
            args, kwargs = map_arg((node.args, node.kwargs), lambda n: values[n.name])
            values[node.name] = self._run(node, args, kwargs)
        results = [as_tf(values[node.name]) for node in self._results]
        return results[0] if len(results) == 1 else results

    def _run(self, node: Node, args: Any, kwargs: Any) -> Any:
        dynamic = any(is_dynamic(v) for v in tree_leaves((args, kwargs)))
        # Plain numbers and torch constants stay on torch's side; so does taking a tuple's item.
        if node.target is operator.getitem or not dynamic:
            return node.target(*args, **kwargs)
        # Lengths: Python's own operators, on numbers that are known only at run time.
        if node.target in SCALAR_TABLE:
            return SCALAR_TABLE[node.target](*args, **kwargs)
        try:
            return TABLE[node.target](node, *args, **kwargs)
        except InputError:
            raise
        except Exception as error:  # TensorFlow raises a dozen types here
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"{node.target} (node {node.name}, from {_origin(node)}): its TensorFlow "
                f"counterpart does not accept these arguments ({type(error).__name__}: {reason}); "
                "write it with other operations, or mend the counterpart in "
                "src/tflite/converter/ops_*.py"
            ) from error

    def _refuse_unknown_operators(self) -> None:
        known = {*TABLE, *SCALAR_TABLE, operator.getitem}
        unknown: dict[str, Node] = {}  # the first node of each operator
        for node in self.nodes:
            if node.target not in known:
                unknown.setdefault(str(node.target), node)
        if unknown:
            named = [f"{name} (node {n.name}, from {_origin(n)})" for name, n in unknown.items()]
            raise InputError(
                f"no TensorFlow counterpart for these torch operators: {', '.join(named)}; add "
                "each to a table of src/tflite/converter/ops_*.py (with a case in "
                "tests/tflite/converter/test_ops.py), or export with EXPORTER=onnx2tf"
            )


def translate(
    module: nn.Module | Callable[[Tensor], Tensor], example: Float[Tensor, "..."], frames: int
) -> Program:
    """Export a torch module of one tensor with torch.export and translate it to TensorFlow.

    torch.export may silently turn a number that follows from the length into a constant; `check`
    finds this.

    Args:
        module: a module in eval mode, or a pure function.
        example: an input; its length is only an example, its other dimensions are fixed.
        frames: the dimension of `example` that varies.

    Raises:
        InputError: torch.export cannot follow the module at a varying length, or an operator is
            not in the table.
    """
    called = module if isinstance(module, nn.Module) else _FunctionModule(module)
    try:
        with quiet_export():
            exported = torch.export.export(
                called.eval(),
                (example,),
                dynamic_shapes=({frames: torch.export.Dim.DYNAMIC},),
                strict=False,
                # A guard such as "T != max_len" only separates memory layouts, which TensorFlow
                # does not have: it must not narrow the lengths that the file accepts.
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except Exception as error:  # torch raises a dozen types here, all meaning the same to a user
        reason = next((line for line in str(error).splitlines() if line.strip()), "no message")
        raise InputError(
            f"torch.export cannot follow it at a varying number of frames ({type(error).__name__}: "
            f"{reason}{raised_at(error, but=__file__)}). Write what depends on the length with "
            "tensor operations: no Python `if`, loop or `int()` on a length or a value, and no "
            "nn.GRU or nn.LSTM, which are loops over the frames."
        ) from error
    return Program(exported)


def check(
    program: Program,
    module: nn.Module | Callable[[Tensor], Tensor],
    examples: Iterable[Float[Tensor, "..."]],
) -> None:
    """Compare a translation with its torch module on a few examples, of several lengths.

    Raises:
        InputError: they differ by more than float32's rounding.
    """
    for x in examples:
        with torch.no_grad():
            expected = module(x.clone()).numpy()  # a step may write into its input
        got = program(tf.constant(x.numpy())).numpy()
        off = np.inf
        if got.shape == expected.shape:
            apart = ~np.isclose(got, expected, _TOLERANCE, _TOLERANCE, equal_nan=True)
            off = np.abs(got[apart].astype(float) - expected[apart])
            off = np.where(np.isnan(off), np.inf, off).max(initial=0)  # one of the two is NaN
        if off != 0:
            raise InputError(
                "its TensorFlow translation differs from torch on an input of shape "
                f"{tuple(x.shape)}: expected a result of shape {expected.shape}, found "
                f"{got.shape}, off by up to {off:.2g}. Perhaps a number in it was fixed at export: "
                "compute that with tensor operations, without int() or round(). Or a counterpart "
                "in src/tflite/converter/ops_*.py does not do what its torch operator does."
            )


class _FunctionModule(nn.Module):
    """A function as the module that torch.export asks for."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _constants(exported: ExportedProgram) -> dict[str, Any]:
    """Parameters, buffers and lifted constants under the names of their graph nodes."""
    stored = {**exported.state_dict, **exported.constants}
    return {
        spec.arg.name: stored[spec.target].detach()
        for spec in exported.graph_signature.input_specs
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
    }


def _results(exported: ExportedProgram) -> list[Node]:
    """The nodes that the module returns, without those that it has written into its input."""
    returned = next(n for n in exported.graph.nodes if n.op == "output").args[0]
    kinds = [spec.kind for spec in exported.graph_signature.output_specs]
    return [n for n, kind in zip(returned, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]


def _needed(results: list[Node], constants: dict[str, Any]) -> set[Node]:
    """The nodes that the results depend on and that are not constants."""
    needed, todo = set(), [*results]
    while todo:
        node = todo.pop()
        if node not in needed and node.name not in constants:
            needed.add(node)
            todo.extend(node.all_input_nodes)
    return needed


def _origin(node: Node) -> str:
    """Where a node was traced from: the module path and class, or at the top the line of code."""
    stack = node.meta.get("nn_module_stack")
    path, kind = list(stack.values())[-1] if stack else ("", "")
    name = kind if isinstance(kind, str) else kind.__qualname__
    if path:
        return f"{path} ({name.rsplit('.', 1)[-1]})"
    trace = (node.meta.get("stack_trace") or "").strip()
    is_named = trace and __file__ not in trace  # a wrapped function's trace has this file in it
    return f"the top: {trace.splitlines()[-1].strip()}" if is_named else "the top"
