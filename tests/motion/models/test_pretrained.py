import numpy as np
import pytest
import torch

from src.common.errors import InputError
from src.motion.models import pretrained
from src.motion.models.st_transformer import Config, StTransformer
from src.motion.study import run as running
from tests.motion.models.loop_model import LoopModel

SMALL = Config(width=8, feed_forward=12, heads=2, layers=2, window=6, norm="token", dropout=0.0)


def as_tensorflow_names(loop):
    """A loop model's weights under motion-transformer's variable names, kernels (in, out)."""
    found = {}

    def dense(scope, layer):
        found[f"model/{scope}/dense/kernel"] = layer.weight.detach().numpy().T
        found[f"model/{scope}/dense/bias"] = layer.bias.detach().numpy()

    for j in range(len(loop.embed)):
        dense(f"embedding_{j}", loop.embed[j])
        dense(f"final_output_{j}", loop.out[j])
    for n, layer in enumerate(loop.layers):
        scope = f"transformer_layer_{n}"
        for j in range(len(loop.embed)):
            time = f"{scope}/temporal_attnjoint_{j}"
            for part in ("query", "key", "value"):
                dense(f"{time}/_{part}", getattr(layer, part[0])[j])
            dense(f"{time}/temporal_attn_output_dense", layer.o[j])
            dense(f"{scope}/_query_{j}", layer.space_q[j])
            dense(f"{scope}/feed_forward_ff1_{j}", layer.expand[j])
            dense(f"{scope}/feed_forward_ff2_{j}", layer.contract[j])
        for part in ("key", "value"):
            dense(f"{scope}/spatial_attn_{part}", getattr(layer, f"space_{part[0]}"))
        dense(f"{scope}/spatial_attn_output_dense", layer.space_o)
        for norm, name in zip(layer.norms, ("temporal", "spatial", "ff"), strict=True):
            found[f"model/{scope}/ln_{name}/LayerNorm/gamma"] = norm.weight.detach().numpy()
            found[f"model/{scope}/ln_{name}/LayerNorm/beta"] = norm.bias.detach().numpy()
    return found


def save(path, found):
    np.savez(path, **{name.replace("/", "|"): value for name, value in found.items()})


@pytest.fixture
def loop():
    made = LoopModel(15, 9, SMALL, torch.zeros(6, 8))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_weights_under_the_authors_names_give_the_authors_network(loop, tmp_path):
    """The loop is the paper's network; its weights go through the file and come out the same."""
    save(tmp_path / "w.npz", as_tensorflow_names(loop))
    model = StTransformer(SMALL, torch.ones(15, 9))
    loop.pattern.copy_(model.pattern)
    pretrained.load_authors(tmp_path / "w.npz", model)
    x = torch.randn(2, 6, 15, 9)
    assert torch.allclose(model.eval()(x)[:, :, 0], loop.eval()(x), atol=1e-5)


def test_every_parameter_has_its_variables():
    with torch.device("meta"):
        model = StTransformer(Config(norm="sample"), torch.ones(15, 9))
    names = pretrained.variables(model)
    assert set(names) == set(model.state_dict())
    sources = [name for parts in names.values() for name in parts]
    assert len(sources) == len(set(sources))


def test_missing_or_other_weights_are_refused(loop, tmp_path):
    def refused(message, channels=9):
        model = StTransformer(SMALL, torch.ones(15, channels))
        with pytest.raises(InputError, match=message):
            pretrained.load_authors(tmp_path / "w.npz", model)

    found = as_tensorflow_names(loop)
    refused(r"w.npz: expected .* weights.*motion-transformer")
    (tmp_path / "w.npz").write_bytes(b"TensorFlow's own checkpoint")
    refused(r"w.npz: expected the authors' weights as an npz.*make")
    save(tmp_path / "w.npz", dict(list(found.items())[:-1]))
    refused(r"expected one variable .*beta, found 0")
    save(tmp_path / "w.npz", found)
    refused("weights of another size", channels=4)


def test_study_01_without_weights_is_absent_and_says_so(corpus, tmp_path):
    outcome = running.authors_outcome(tmp_path / "none.npz", corpus)
    assert isinstance(outcome, str) and outcome.startswith("absent: no file")
    assert "github.com/eth-ait/motion-transformer" in outcome
