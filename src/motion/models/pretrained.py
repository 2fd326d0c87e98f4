"""Study 01: the authors' own weights, for those who have them.

They are published as a TensorFlow checkpoint behind a Drive link, which nothing here downloads.
Where TensorFlow is installed, these lines make the .npz file that is read here:

    reader = tf.train.load_checkpoint(folder)
    names = reader.get_variable_to_shape_map()
    np.savez(path, **{name.replace("/", "|"): reader.get_tensor(name) for name in names})

Variable names are those of motion-transformer's `spl/model/transformer.py` under any outer scope.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from src.common.errors import InputError, refusing
from src.motion.models.st_transformer import StTransformer

WHERE = "https://github.com/eth-ait/motion-transformer (README, pre-trained models)"


def load_authors(path: Path, model: StTransformer) -> None:
    """Put the authors' weights, the .npz described above, into study 01's network.

    Raises:
        InputError: the file is missing or not an npz, or it lacks variables of the right shapes.
    """
    again = f"make it from {WHERE} as src/motion/models/pretrained.py says"
    with (
        refusing(path, "the authors' weights as an npz of arrays", again),
        path.open("rb") as raw,
        np.load(raw, allow_pickle=False) as file,
    ):
        found = {name.replace("|", "/"): file[name] for name in file.files}
    state = model.state_dict()
    for name, sources in variables(model).items():
        parts = [_find(found, source, path) for source in sources]
        value = _assemble(name, parts, state[name])
        if value.shape != state[name].shape:
            raise InputError(
                f"{path}: expected {tuple(state[name].shape)} for {name}, found "
                f"{tuple(value.shape)} from {sources[0]}; these are weights of another size"
            )
        state[name] = value
    model.load_state_dict(state)


def variables(model: StTransformer) -> dict[str, list[str]]:
    """The TensorFlow variables that each of our parameters is made of.

    Where our parameter has a leading joint axis, TensorFlow has one variable per joint, and query,
    key and value are separate.
    """
    joints = len(model.embedding.weight)
    names: dict[str, list[str]] = {}

    def dense(copies: int, ours: str, *scopes: str) -> None:
        for ours_part, part in (("weight", "kernel"), ("bias", "bias")):
            names[f"{ours}.{ours_part}"] = [
                f"{scope.format(j=j)}/dense/{part}" for j in range(copies) for scope in scopes
            ]

    per_joint, shared = partial(dense, joints), partial(dense, 1)

    per_joint("embedding", "embedding_{j}")
    per_joint("output", "final_output_{j}")
    for n in range(len(model.layers)):
        ours, theirs = f"layers.{n}", f"transformer_layer_{n}"
        time = f"{theirs}/temporal_attnjoint_{{j}}"
        parts = (f"{time}/_{part}" for part in ("query", "key", "value"))
        per_joint(f"{ours}.attentions.0.query_key_value", *parts)
        per_joint(f"{ours}.attentions.0.output", f"{time}/temporal_attn_output_dense")
        per_joint(f"{ours}.attentions.1.query", f"{theirs}/_query_{{j}}")
        for part in ("key", "value"):
            shared(f"{ours}.attentions.1.{part}", f"{theirs}/spatial_attn_{part}")
        shared(f"{ours}.attentions.1.output", f"{theirs}/spatial_attn_output_dense")
        per_joint(f"{ours}.expand", f"{theirs}/feed_forward_ff1_{{j}}")
        per_joint(f"{ours}.contract", f"{theirs}/feed_forward_ff2_{{j}}")
        for norm, scope in (("norms.0", "temporal"), ("norms.1", "spatial"), ("last_norm", "ff")):
            names[f"{ours}.{norm}.weight"] = [f"{theirs}/ln_{scope}/LayerNorm/gamma"]
            names[f"{ours}.{norm}.bias"] = [f"{theirs}/ln_{scope}/LayerNorm/beta"]
    return names


def _find(found: dict[str, np.ndarray], source: str, path: Path) -> Tensor:
    matches = [name for name in found if name == source or name.endswith("/" + source)]
    if len(matches) != 1:
        raise InputError(
            f"{path}: expected one variable {source}, found {len(matches)}; is this the "
            "checkpoint 1573450146 of the two-dimensional transformer?"
        )
    return torch.from_numpy(found[matches[0]]).float()


def _assemble(name: str, parts: list[Tensor], like: Tensor) -> Tensor:
    """One tensor of ours from TensorFlow's (in, out) kernels and (out,) vectors."""
    if len(parts) == 1:  # nn.Linear's weight is (out, in)
        return parts[0].mT if parts[0].dim() == 2 else parts[0]
    # A joint's maps of the same input lie side by side.
    stacked = torch.stack(parts).unflatten(0, (len(like), -1)).movedim(1, -2).flatten(-2)
    return stacked[:, None] if name.endswith("bias") else stacked
