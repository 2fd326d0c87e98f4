"""The second route, by ONNX: the same answers, by nothing that the first route uses."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import Tensor, nn

from src.common.errors import InputError
from src.landmarks import undetected
from src.tflite.converter import onnx_route
from src.tflite.converter.convert import convert
from src.tflite.converter.onnx_route import NotConverted, OnnxCore, _longest
from src.tflite.graph import Graph
from src.tflite.members import answer, prepare
from src.tflite.scorer import Model
from tests.tflite import toys


def test_whole_networks_go_this_way():
    """One whose tables are sums of constants."""
    member = replace(toys.families()["hand_bert"], max_len=7)
    core = OnnxCore(member)
    for frames in (1, 6, 7):
        xyz = prepare(member, toys.raw_clip(frames))[None]
        expected = member.core(xyz).detach().numpy()
        # Float32 rounds by less; oneDNN's bfloat16, see src/tflite, by 2e-4 and more.
        allowed = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(core.by_onnxruntime(xyz.numpy()), expected, 1e-4, 1e-5)
        np.testing.assert_allclose(core(tf.constant(xyz.numpy())), expected, 0, allowed)


class WithoutMask(nn.Module):
    def forward(self, xyz: Tensor) -> Tensor:
        return xyz.nan_to_num().sum((1, 2))


@pytest.mark.parametrize("family", toys.FAMILIES)
def test_the_onnx_of_every_family_is_right(family, monkeypatch):
    """With the points and clip steps of cpu; where it is not, notebook 04 ends."""

    def end(*args):
        raise NotConverted("torch and ONNX have done their part")

    monkeypatch.setattr(onnx_route, "_to_tensorflow", end)
    with pytest.raises(NotConverted, match="have done their part"):
        OnnxCore(toys.families("cpu")[family], every_bucket=False)


@pytest.mark.parametrize("width", [3, 5])
def test_a_network_without_a_mask_is_refused(width):
    """Also where a weight has the size of the longest clip."""
    core = WithoutMask().eval()
    core.weight = nn.Parameter(torch.zeros(width))
    member = replace(toys.deberta(5), core=core)
    with pytest.raises(InputError, match=r"deberta_5: torch cannot .*xyz and mask: Type") as found:
        OnnxCore(member)
    assert not isinstance(found.value, NotConverted)  # which the ladder forgives


class Hypotenuse(nn.Module):
    def forward(self, xyz: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.hypot(xyz[..., 0], xyz[..., 1]).nan_to_num().sum(1)


def test_an_operator_that_onnx_lacks_is_named_and_how_to_go_on_without_this_route():
    """README's way to add a solution: somebody has added hypot to the table of operators."""
    member = replace(toys.deberta(5), core=Hypotenuse().eval())
    named = r"DispatchError: No ONNX function found for .*hypot.*; .* set SECOND_ROUTE=none"
    with pytest.raises(InputError, match=named):
        OnnxCore(member, every_bucket=False)


class Sum(nn.Module):
    """Logits that any layer would give away: frames behind the mask must not count."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(300, 6)

    def forward(self, xyz: Tensor, mask: Tensor | None = None) -> Tensor:
        xyz = torch.where(xyz.isnan(), 0.0, xyz)
        if mask is not None:
            xyz = torch.where(mask[..., None, None], xyz, 0.0)
        return self.project(xyz.flatten(2)).sigmoid().mul(xyz.mean((2, 3))[..., None]).sum(1)


@pytest.fixture(scope="module")
def member():
    torch.manual_seed(0)
    return replace(toys.deberta(9), core=Sum().eval())


@pytest.fixture(scope="module")
def core(member) -> OnnxCore:
    """With a bucket of 7 and one of 9 frames."""
    made = OnnxCore(member)
    assert made.buckets == (7, 9)
    return made


@pytest.mark.parametrize("frames", [*range(1, 10), 30])
def test_both_steps_answer_as_torch_does_whatever_the_bucket(member, core, frames):
    """The steps of llama leave clips long, and its network reads their beginning."""
    xyz = prepare(replace(member, steps=member.steps[-1:]), toys.raw_clip(frames))[None]
    assert xyz.shape[1] == frames
    expected = member.core(xyz[:, :9]).detach().numpy()
    np.testing.assert_allclose(core.by_onnxruntime(xyz.numpy()), expected, 1e-5, 1e-5)
    np.testing.assert_allclose(core(tf.constant(xyz.numpy())), expected, 1e-5, 1e-5)


def test_the_file_by_this_route_answers_as_torch_does(member, core, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(Graph([member], [core]), "fp32"))
    model = Model(path)
    for frames in (1, 2, 6, 7, 8, 9, 10, 60):
        clip = toys.raw_clip(frames)
        np.testing.assert_allclose(model(clip), answer([member], clip), 1e-5, 1e-5)


def test_a_small_epsilon_stays_and_strict_mode_is_a_second_try(monkeypatch, tmp_path):
    """onnxscript's optimizer takes it for 0, as half precision does: missing hands became NaN."""
    tried = []

    def only_strictly(*args):
        tried.append(args[-1])
        if not args[-1]:
            raise NotConverted("gave up")
        return to_tensorflow(*args)

    to_tensorflow = onnx_route._to_tensorflow
    monkeypatch.setattr(onnx_route, "_to_tensorflow", only_strictly)
    member = replace(toys.deberta(7), core=toys.Normed().eval())
    core = OnnxCore(member)
    assert tried == [False, True]
    nothing = np.full((1, 7, len(member.sources), 3), np.nan, np.float32)
    for answer_of in (core.by_onnxruntime, lambda xyz: core(tf.constant(xyz))):
        np.testing.assert_array_equal(answer_of(nothing), 0)
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(Graph([member], [core]), "fp16"))
    np.testing.assert_allclose(Model(path)(undetected(4)), 1 / 6, 1e-3)


def test_where_onnx2tf_gives_up_it_says_at_which_operation(monkeypatch):
    def give_up(**kwargs):
        print("Traceback ...", "onnx_op_name: node_matmul_2", "Also try -onwdt.", sep="\n")
        sys.exit(1)

    monkeypatch.setattr("onnx2tf.convert", give_up)
    with pytest.raises(NotConverted, match="its network: it gave up at node_matmul_2"):
        OnnxCore(replace(toys.deberta(7), core=toys.Normed().eval()))


def test_recursion_stays_limited(core):
    """onnx2tf lifts the limit for the whole process: nested JSON then ends in a crash."""
    assert sys.getrecursionlimit() < 100_000


def test_a_width_misleads_nobody():
    """onnx2tf takes 48 frames of 48 channels for 48 channels of 48 frames, without an error."""
    member = replace(toys.families()["conv_transformer"], max_len=48)
    assert 48 in {size for weight in member.core.parameters() for size in weight.shape}
    core = OnnxCore(member, every_bucket=False)  # it compares the copy with torch
    assert core.buckets == (49,)


def test_only_a_width_makes_the_last_bucket_longer():
    families = toys.families()
    assert _longest(replace(families["conv_transformer"], max_len=31)) == 31
    # Its tables end at 32 frames, which is one of its widths, too.
    assert _longest(families["hierarchical"]) == families["hierarchical"].max_len == 32
