"""The recurrent and transformer baselines; every defect of motion.md, section 4, has its test."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from src.motion.models import seq2seq, taxonomy, transformer
from src.motion.models.forecaster import parameter_count
from src.motion.models.positions import sinusoids
from src.motion.models.seq2seq import Seq2seq, forcing
from src.motion.models.transformer import Transformer, TransformerLstm

JOINTS, CHANNELS = 4, 3
POSE = JOINTS * CHANNELS
RECURRENT = seq2seq.Config(hidden=16, window=8, target=5)
ATTENTION = transformer.Config(hidden=16, heads=2, window=8, target=5)
KINDS = ("separate", "tied", "single")


def recurrent(kind, **changes):
    return Seq2seq(replace(RECURRENT, kind=kind, **changes), JOINTS, CHANNELS)


def every_model(**changes):
    return {
        **{kind: recurrent(kind, **changes) for kind in KINDS},
        "transformer": Transformer(replace(ATTENTION, **changes), JOINTS, CHANNELS),
        "transformer-lstm": TransformerLstm(
            replace(ATTENTION, lstm_decoder=True, **changes), JOINTS, CHANNELS
        ),
        "taxonomy": taxonomy.build(
            taxonomy.Config(transformer=replace(ATTENTION, **changes)), JOINTS, CHANNELS
        ),
    }


NAMES = list(every_model())


def frames(length=13, batch=3):
    return torch.randn(batch, length, JOINTS, CHANNELS)


def test_full_size_baselines_have_the_counts_of_their_parts():
    """fairmotion's: 24 joints x 3 channels, hidden 1024, one layer. Tied is one LSTM (defect d)."""
    with torch.device("meta"):
        embed, lstm, project = nn.Linear(72, 1024), nn.LSTM(72, 1024), nn.Linear(1024, 72)
        encoder = nn.TransformerEncoderLayer(1024, 8, 1024)
        decoder = nn.TransformerDecoderLayer(1024, 8, 1024)
        norm = nn.LayerNorm(1024)
        parts = {
            "separate": (lstm, lstm, project),
            "tied": (lstm, project),
            "single": (lstm, project),
            "transformer": (embed, encoder, norm, decoder, norm, project),
            "lstm": (embed, encoder, lstm, project),
        }
        made = {k: Seq2seq(seq2seq.Config(kind=k), 24, 3) for k in KINDS}
        made["transformer"] = Transformer(transformer.Config(), 24, 3)
        made["lstm"] = TransformerLstm(transformer.Config(), 24, 3)
        prior = taxonomy.TaxonomyPrior(72, identity=False)
    expected = {name: sum(map(parameter_count, of)) for name, of in parts.items()}
    assert {name: parameter_count(model) for name, model in made.items()} == expected
    assert parameter_count(prior) == 2682  # motion.md, section 6


def test_weights_begin_as_fairmotions():
    for kind in KINDS:
        weights = torch.cat([p.flatten() for p in recurrent(kind).parameters()])
        assert 0.078 < weights.abs().max() <= 0.08
    model = Transformer(ATTENTION, JOINTS, CHANNELS)
    bound = (6 / (POSE + 16)) ** 0.5  # Xavier uniform
    assert 0.9 * bound < model.embedding.linear.weight.abs().max() <= bound


def test_teacher_forcing_fades_over_the_first_half():
    assert [forcing(p) for p in (0.0, 0.25, 0.5, 0.9)] == [1, 0.5, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_full_forcing_is_one_pass_over_the_shifted_truth(kind):
    model = recurrent(kind).eval()
    window = frames()
    made, truth = model.teach(window, window, progress=0.0)
    poses = window.flatten(2)
    encoder = model.encoder or model.decoder.lstm
    state = None
    if kind != "single":
        _, state = encoder(poses[:, :8])
        given, wanted = poses[:, 7:12], window[:, 8:]
    else:
        given, wanted = poses[:, :12], window[:, 1:]  # taught on every next frame
    expected = model.decoder.project(model.decoder.lstm(given, state)[0])
    assert torch.allclose(made.flatten(2), expected, atol=1e-6)
    assert torch.equal(truth, wanted)


@pytest.mark.parametrize("kind", [*KINDS, "transformer-lstm"])
def test_defect_b_training_and_use_begin_with_the_same_frame(kind):
    """fairmotion feeds target frame 0 first in training, the last source frame in use."""
    model = every_model()[kind].eval()
    window = frames()
    made, _ = model.teach(window, window, progress=1.0)  # no forcing
    assert torch.allclose(made[:, -5:], model.next_frames(window[:, :8]), atol=1e-6)
    other = window.clone()
    other[:, 8:] = torch.randn_like(other[:, 8:])
    forced, _ = model.teach(other, other, progress=0.0)
    first = forced[:, -5]
    assert torch.allclose(first, made[:, -5], atol=1e-6)  # no target frame goes into the first


@pytest.mark.parametrize("name", ["transformer", "taxonomy"])
def test_defect_a_greedy_decoding_returns_outputs_and_is_not_a_frame_late(name):
    """Given its own frames for a target, the taught pass must return those very frames."""
    model = every_model()[name].eval()
    seed = frames(8)
    greedy = model.next_frames(seed)
    window = torch.cat([seed, greedy], 1)
    taught, truth = model.teach(window, window, progress=0.0)
    assert torch.allclose(taught, greedy, atol=1e-5)
    assert torch.equal(truth, greedy)
    assert not torch.allclose(greedy[:, 0], seed[:, -1], atol=1e-3)  # the defect returns the seed


@pytest.mark.parametrize("name", NAMES)
def test_windows_of_a_batch_know_nothing_of_one_another(name):
    """fairmotion's encoder-LSTM attends over the batch axis."""
    model = every_model()[name].eval()
    seeds = frames(8)
    together = model.next_frames(seeds)
    alone = torch.cat([model.next_frames(seed[None]) for seed in seeds])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_transformer_is_torchs_between_two_linear_maps():
    """Weights copied into nn.Transformer, which has the same layers and final norms."""
    model = Transformer(ATTENTION, JOINTS, CHANNELS).eval()
    oracle = nn.Transformer(16, 2, 1, 1, 16, 0.5, batch_first=True).eval()
    oracle.encoder.load_state_dict(model.encoder.state_dict())
    oracle.decoder.load_state_dict(model.decoder.state_dict())
    window = frames().flatten(2)
    source, given = window[:, :8], window[:, 7:12]
    embed = lambda x: model.embedding.linear(x) * 4 + sinusoids(x.shape[1], 16)  # noqa: E731
    mask = torch.triu(torch.full((5, 5), -torch.inf), 1)
    expected = model.project(oracle(embed(source), embed(given), tgt_mask=mask))
    made, _ = model.teach(window.unflatten(-1, (JOINTS, CHANNELS)), frames(), 0.0)
    assert torch.allclose(made.flatten(2), expected, atol=1e-5)


def test_the_lstm_decoder_begins_with_the_encoders_last_output():
    model = TransformerLstm(replace(ATTENTION, lstm_decoder=True), JOINTS, CHANNELS).eval()
    poses = frames(8).flatten(2)
    last = model.encoder(model.embedding(poses))[:, -1]
    out, _ = model.decoder.lstm(poses[:, -1:], (last[None], last[None]))
    made = model.next_frames(poses.unflatten(-1, (JOINTS, CHANNELS)))
    assert torch.allclose(made[:, 0].flatten(1), model.decoder.project(out[:, 0]), atol=1e-6)


def test_the_prior_is_its_formula():
    prior = taxonomy.TaxonomyPrior(POSE, identity=False)
    x = torch.randn(5, POSE)
    codes = torch.sigmoid(x @ prior.codes.weight.mT + prior.codes.bias)
    assert codes.shape == (5, 18)
    assert torch.allclose(prior(x), x * (codes @ prior.gate.weight.mT + prior.gate.bias), atol=1e-6)


def test_the_identity_prior_changes_nothing_and_the_plain_one_does():
    x = torch.randn(5, POSE)
    assert torch.equal(taxonomy.TaxonomyPrior(POSE, identity=True)(x), x)
    config = taxonomy.Config(transformer=ATTENTION, identity=True)
    model = taxonomy.build(config, JOINTS, CHANNELS).eval()
    seed = frames(8)
    with_ = model.next_frames(seed)
    prior, model.prior = model.prior, None
    assert torch.equal(model.next_frames(seed), with_)
    model.prior = prior
    nn.init.normal_(prior.gate.weight)
    assert not torch.allclose(model.next_frames(seed), with_)


def test_the_decoder_reads_the_seed_ungated():
    """Reading: only the encoder's input is gated."""
    model = taxonomy.build(taxonomy.Config(transformer=ATTENTION), JOINTS, CHANNELS).eval()
    poses = frames().flatten(2)
    memory = model.encoder(model.embedding(model.prior(poses[:, :8])))
    expected = model.decode(poses[:, 7:12], memory)
    made, _ = model.teach(poses.unflatten(-1, (JOINTS, CHANNELS)), frames(), 0.0)
    assert torch.allclose(made.flatten(2), expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_velocity_form_begins_as_zero_velocity(name):
    model = every_model(residual=True)[name].eval()
    seed = frames(8)
    made = model.forecast(seed, 9)
    assert torch.allclose(made, seed[:, -1:].expand(-1, 9, -1, -1), atol=1e-6)
    plain = every_model()[name].eval().forecast(seed, 9)
    assert not torch.allclose(plain, seed[:, -1:].expand(-1, 9, -1, -1), atol=1e-2)
