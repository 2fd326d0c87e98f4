"""Members of an ensemble -> `model.tflite` -> `submission.zip`.

The default route translates the torch modules themselves, at any length (converter/translate.py).
The second route, by ONNX, is independent of it and serves networks with operators that the first
one does not know (converter/onnx_route.py).
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from src.common.errors import InputError, check_choice
from src.common.files import write_atomically
from src.common.news import say
from src.recipes.base import Pool
from src.tflite.converter.convert import Precision, check_runtime, convert
from src.tflite.graph import Core, Graph
from src.tflite.members import Member
from src.tflite.scorer import LIMIT_MB

Route = Literal["table", "onnx2tf"]
_INSTEAD = {  # what to do about a route that fails, or makes a file that is too new
    "table": "build the newer operation from older ones in src/tflite/converter/ops_*.py",
    "onnx2tf": "export by the table of operators (EXPORTER=table)",
}
_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}  # per weight


@dataclass(frozen=True)
class ExportOptions:
    """How the file is made."""

    precision: Precision = "fp16"  # of the stored weights
    route: Route = "table"  # from torch to TensorFlow
    pool: Pool = "probabilities"  # what the ensemble averages

    def __post_init__(self) -> None:
        check_choice("WEIGHTS", self.precision, get_args(Precision))
        check_choice("EXPORTER", self.route, get_args(Route))


@dataclass(frozen=True)
class Exported:
    """A written file and what it was made from."""

    path: Path
    size_mb: float  # in 10^6 bytes
    members: tuple[Member, ...]
    options: ExportOptions
    graph: Graph


def write_tflite(
    members: Sequence[Member],
    path: Path,
    options: ExportOptions = ExportOptions(),
    cores: Sequence[Core] | None = None,
) -> Exported:
    """Write an ensemble as the one file that the competition takes.

    `cores` are the members' networks as another file's graph has them; None = translate them.

    Raises:
        InputError: the file would be over the size limit, so nothing is written; a member cannot
            be exported; or the file needs a newer runtime than the competition's.
    """
    say(f"{path.name}: TensorFlow Lite of {', '.join(member.name for member in members)}")
    graph = Graph(members, cores, options.pool) if cores else build_graph(members, options)
    content = convert(graph, options.precision)
    check_runtime(content, _INSTEAD[options.route])
    size_mb = len(content) / 1e6
    if size_mb >= LIMIT_MB:
        fewer = [name for name, n in _BYTES.items() if n < _BYTES[options.precision]]
        in_fewer = f", or store weights in fewer bits (WEIGHTS={', '.join(fewer)})" if fewer else ""
        weights = {m.name: m.parameters * _BYTES[options.precision] / 1e6 for m in members}
        raise InputError(
            f"{path}: not written: {size_mb:.1f} MB, the competition takes less than "
            f"{LIMIT_MB:g} MB. The weights of each member in {options.precision}: "
            f"{', '.join(f'{name} {mb:.1f} MB' for name, mb in weights.items())}. Leave one out "
            f"by MEMBERS, or make one smaller{in_fewer}."
        )
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return Exported(path, size_mb, tuple(members), options, graph)


def build_graph(members: Sequence[Member], options: ExportOptions) -> Graph:
    """Build the ensemble in TensorFlow by the chosen route.

    Raises:
        InputError: this route cannot translate a member.
    """
    if options.route == "table":
        return Graph(members, pool=options.pool)
    from src.tflite.converter.onnx_route import OnnxCore  # onnx takes seconds to import

    try:
        cores = [OnnxCore(member) for member in members]
    except InputError as error:
        raise InputError(f"{error}; {_INSTEAD['onnx2tf']}") from error
    return Graph(members, cores, options.pool)


def write_zip(tflite_path: Path, zip_path: Path) -> None:
    """Zip a file made by `write_tflite` for the competition, as `model.tflite` at the top level."""

    def pack(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(tflite_path, "model.tflite")

    write_atomically(zip_path, pack)
