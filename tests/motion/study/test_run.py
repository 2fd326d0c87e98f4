"""Experiments by name: every one is built, saved and rebuilt; a few are run."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from src.common.errors import InputError
from src.common.files import write_json
from src.motion import models
from src.motion.body.pose_space import FAIRMOTION, Normaliser
from src.motion.data.windows import sliding
from src.motion.metrics import frame_errors
from src.motion.models.forecaster import parameter_count
from src.motion.study import bars, experiments, saved
from src.motion.study import run as running
from src.motion.study.gradients import deep_results, layer_gradients, study_gradients
from src.motion.study.rollout import roll_outs
from src.motion.study.studies import STUDIES
from src.motion.training import gan, loop
from src.motion.training.task import forecasts, pose_task

PROFILE = replace(experiments.PROFILES["sample"], steps=4, validate_every=2, batch=4)


def test_names_are_chosen_and_unknown_ones_refused():
    assert running.choose("all") == [n for n in experiments.PUBLISHED if n != "01-authors"]
    with pytest.raises(InputError, match=r"01-authors is the authors' own weights.*AUTHORS_WEI"):
        running.choose("01-authors")
    assert running.choose("ours, 10-no-time") == ["ours", "10-no-time"]
    assert running.choose("rnn,ours,rnn") == ["rnn", "ours"]  # never two at work in one folder
    with pytest.raises(InputError, match=r"AUTHORS_WEIGHTS: expected a file, found none at .*nope"):
        running.authors_weights("nope.npz")
    assert running.authors_weights("").name == "motion-transformer.npz"
    with pytest.raises(InputError, match=r"expected all, or some of 02-original.*found 15-none"):
        running.choose("ours,15-none")
    with pytest.raises(InputError, match=r"STUDIES: .*found none"):
        running.choose(" , ")
    profiles = "PROFILE: expected 'sample' or 'cpu' or .*, found 'huge'"
    with pytest.raises(InputError, match=profiles):
        experiments.profile_named("huge")
    assert experiments.profile_named("published") is None


def test_a_variation_changes_what_it_is_about_and_nothing_else():
    smooth = experiments.Variation(smoothness=0.1)
    gan_before, rnn = experiments.PUBLISHED["gan"], experiments.PUBLISHED["rnn"]
    assert smooth.of(gan_before).training == replace(gan_before.training, smoothness=0.1)
    assert smooth.of(rnn) == rnn == experiments.Variation().of(rnn)
    turned = experiments.Variation(representation="quaternion").of(rnn)
    assert turned.pose_format == replace(FAIRMOTION, representation="quaternion")
    with pytest.raises(InputError, match="SMOOTHNESS: expected 0 or more, found -1"):
        experiments.Variation(smoothness=-1.0)
    with pytest.raises(InputError, match="REPRESENTATION: expected '' or 'axis angle' or"):
        experiments.Variation(representation="euler")


@pytest.mark.parametrize("name", ["02-original", "14-convolution", "taxonomy", "gan"])
def test_every_kind_of_network_trains_on_quaternions(corpus, tmp_path, name):
    quaternions = experiments.Variation(representation="quaternion", smoothness=0.1)
    result = running.run(name, corpus, PROFILE, tmp_path, seed=0, variation=quaternions)
    assert result.data.test.shape[-1] == 4
    assert np.isfinite(result.errors.until(24)["joint_angle"])
    assert saved.load(tmp_path / name / "config.json") == result.experiment


@pytest.mark.parametrize("name", ["02-original", "14-convolution", "seq2seq", "taxonomy"])
def test_networks_can_see_ten_frames_a_second(corpus, tmp_path, name):
    """Forecasts are still of 24 frames at 60 Hz, so that errors compare."""
    ten = experiments.Variation(rate=10)
    result = running.run(name, corpus, PROFILE, tmp_path, seed=0, variation=ten)
    assert result.experiment.every == 6 and result.predicted.shape[1] == 24
    assert result.model.span <= 144 and result.model.inner.window <= 20
    again = running.run(name, corpus, PROFILE, tmp_path, seed=0, variation=ten)
    assert torch.equal(again.predicted, result.predicted)
    assert ten.of(experiments.PUBLISHED["gan"]) == experiments.PUBLISHED["gan"]
    with pytest.raises(InputError, match="NETWORK_FPS: expected 60 or 30 or 20 or 10, found 7"):
        experiments.Variation(rate=7)


@pytest.mark.parametrize("name", experiments.PUBLISHED)
@pytest.mark.parametrize("profile", [None, *experiments.PROFILES])
def test_a_config_goes_to_json_and_back(name, profile, tmp_path):
    experiment = experiments.PUBLISHED[name]
    if profile is not None:
        experiment = experiments.resized(experiment, experiments.PROFILES[profile])
    path = write_json(tmp_path / "config.json", saved.to_json(experiment))
    assert saved.load(path) == experiment
    assert "src." not in path.read_text()


def test_a_run_that_was_saved_before_files_moved_still_loads(tmp_path):
    """As it was written in November 2026; no name in it is that of a module or of a class."""
    training = {
        "type": "training", "steps": 189_600, "batch": 64, "sampling": "fixed", "seed": 1,
        "validate_every": 948, "loss": {"type": "mean squared"},
        "optimiser": {"type": "sgd", "lr": 0.1},
        "schedule": {"type": "on plateau", "factor": 0.5, "patience": 5},
    }  # fmt: skip
    experiment = {
        "name": "tied-seq2seq",
        "model": {"type": "recurrent", "kind": "tied", "hidden": 1024},
        "pose_format": {
            "representation": "axis angle", "joints": "all", "quaternion_order": "xyzw",
            "continuous_signs": False,
        },
        "scaling": {"divide_by": "std", "floor": 0.02, "over": "sources"},
        "training": training,
    }  # fmt: skip
    path = write_json(tmp_path / "config.json", experiment)
    assert saved.load(path) == experiments.PUBLISHED["tied-seq2seq"]


def test_a_finished_experiment_is_read_and_a_changed_one_made_again(
    corpus, tmp_path, monkeypatch, capsys
):
    first = running.run("rnn", corpus, PROFILE, tmp_path, seed=1)
    with monkeypatch.context() as patched:
        patched.delattr(running, "Loop")
        again = running.run("rnn", corpus, PROFILE, tmp_path, seed=1)
    assert torch.equal(first.predicted, again.predicted)
    pd.testing.assert_frame_equal(first.history, again.history)
    longer = running.run("rnn", corpus, replace(PROFILE, steps=6), tmp_path, seed=1)
    assert longer.history.step.tolist() == [2, 4, 6]
    news = capsys.readouterr().out
    assert "rnn: made again" in news and "experiment.training.steps 4 -> 6" in news


def test_what_another_training_was_begun_in_place_of_is_trained_again(
    corpus, tmp_path, monkeypatch
):
    """A kill between the new weights and their mark left the old mark beside the new weights."""

    def killed(*_):
        raise KeyboardInterrupt

    first = running.run("rnn", corpus, PROFILE, tmp_path, seed=1)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(running.Mark, "write", killed)
        running.run("rnn", corpus, PROFILE, tmp_path, seed=2)
    again = running.run("rnn", corpus, PROFILE, tmp_path, seed=1)
    assert torch.equal(first.predicted, again.predicted)
    (tmp_path / "rnn" / "best.pt").unlink()
    again = running.run("rnn", corpus, PROFILE, tmp_path, seed=1)
    assert torch.equal(first.predicted, again.predicted)


def test_a_stopped_training_does_not_go_on_as_another_experiment(corpus, tmp_path, monkeypatch):
    """At 30 and at 20 frames a second a recurrent network has weights of the same shapes."""
    half, third = (experiments.Variation(rate=rate) for rate in (30, 20))

    class Killed(loop.Loop):
        def until_validation(self):
            if self.step:
                raise KeyboardInterrupt
            super().until_validation()

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(running, "Loop", Killed)
        running.run("seq2seq", corpus, PROFILE, tmp_path, 1, variation=half)
    message = r"seq2seq/last.pt: expected the state of this very.* every 2 -> 3.*or delete it"
    with pytest.raises(InputError, match=message):
        running.run("seq2seq", corpus, PROFILE, tmp_path, 1, variation=third)
    again = running.run("seq2seq", corpus, PROFILE, tmp_path, 1, variation=half)
    assert again.history.step.tolist() == [2, 4]
    changed = running.run("seq2seq", corpus, PROFILE, tmp_path, 1, variation=third)
    assert changed.experiment.every == 3 and changed.history.step.tolist() == [2, 4]


@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_a_profile_keeps_what_each_study_is_about(profile):
    chosen = experiments.PROFILES[profile]
    published = {study.name: experiments.PUBLISHED[study.name] for study in STUDIES}
    small = {name: experiments.resized(of, chosen).model for name, of in published.items()}
    base = small["02-original"]
    for study in STUDIES[:13]:
        for field in ("joint_relation", "noise", "blocks", "norm", "positions"):
            assert getattr(small[study.name], field) == getattr(study.model, field)
    assert small["13-seven-layers"].layers == base.layers - 1
    assert min(small["14-convolution"].conv_widths) >= 1
    for model in small.values():
        assert model.window <= 120


def test_an_experiment_leaves_what_rebuilds_it(corpus, tmp_path):
    for name in ("02-original", "transformer-lstm", "gan-sum", "ours"):
        result = running.run(name, corpus, PROFILE, tmp_path, seed=1)
        left = {p.name for p in (tmp_path / name).iterdir()}
        assert left == {"config.json", "history.csv", "best.pt", "metrics.csv", "trained.json"}
        model, data = running.load(tmp_path / name, corpus)
        assert len(data.train) == len(result.data.train)  # "ours" also sees clips at other speeds
        made = data.space.decode(forecasts(model, data.test[:, :120], 24))
        assert torch.equal(made, result.predicted)
        errors = frame_errors(made, data.test_truth)
        assert torch.equal(errors.joint_angle, result.errors.joint_angle)


def test_many_are_run_as_one_is_and_the_best_are_those_of_the_validation(corpus, tmp_path):
    """In processes of their own; a GAN's pretraining, from which no weights are, does not count."""
    names = ["ours", "gan"]
    many = running.run_many(names, corpus, PROFILE, tmp_path / "many", 1)
    assert list(many) == names
    running.run("gan", corpus, PROFILE, tmp_path / "one", 1)  # the order is of no effect
    one = running.run("ours", corpus, PROFILE, tmp_path / "one", 1)
    assert torch.equal(many["ours"].predicted, one.predicted)
    for scores, first in (([0.0, 9.0], "ours"), ([9.0, 0.0], "gan")):
        history = many["gan"].history.assign(pretraining=[True, False], joint_angle=scores)
        low = {"gan": replace(many["gan"], history=history), "ours": many["ours"]}
        assert running.best(low, 1) == [first]


def test_an_unfinished_or_foreign_folder_is_refused(corpus, tmp_path):
    with pytest.raises(InputError, match=r"config.json: expected an experiment"):
        running.load(tmp_path, corpus)
    running.run("ours", corpus, PROFILE, tmp_path, seed=0)
    path = tmp_path / "ours" / "config.json"
    path.write_text(path.read_text().replace('"width"', '"tails"'))
    with pytest.raises(InputError, match="run it again"):
        running.load(tmp_path / "ours", corpus)


def test_the_ridge_reads_no_more_of_its_windows_than_it_needs(corpus, monkeypatch):
    """The same windows as of 144 frames, in a quarter of the memory: AMASS has half a million."""
    ridge, given = bars.ridge, []

    def spied(windows, *rest):
        given.append(windows)
        return ridge(windows, *rest)

    monkeypatch.setattr(bars, "ridge", spied)
    running.bar_errors(corpus)
    known = [torch.from_numpy(clip.predicted) for clip in (*corpus.train, *corpus.valid)]
    expected = sliding(known, 12, 144)[:, 110:].flatten(3)
    assert torch.equal(given[0], expected)


def test_gradients_are_shown_of_networks_that_see_fewer_frames_too(corpus, tmp_path):
    thirty = experiments.Variation(rate=30)
    result = running.run("02-original", corpus, PROFILE, tmp_path, 0, variation=thirty)
    table = study_gradients({"02-original": result}, seed=0)["02-original"]
    assert table.layer.tolist() == [1, 2] and (table["std"] > 0).all()


def test_gradients_per_layer_are_torchs_over_all_weights_of_the_layer(corpus, tmp_path):
    result = running.run("13-seven-layers", corpus, replace(PROFILE, layers=3), tmp_path, seed=0)
    table = study_gradients({"13-seven-layers": result}, seed=0)["13-seven-layers"]
    assert table.layer.tolist() == [1, 2]  # one fewer than the profile's three
    task = pose_task(result.data)
    window = result.data.test[:3, -result.model.span :]
    torch.manual_seed(0)
    made = layer_gradients(result.model, task, result.experiment.training.loss, (window, window))
    torch.manual_seed(0)  # the same dropout
    result.model.train()
    predicted, truth = result.model.teach(window, window, 1.0)
    difference = (predicted - truth) * result.data.space.normaliser.scale
    loss = difference.norm(dim=-1).sum() * 15 / truth[..., 0].numel()
    gradients = torch.autograd.grad(loss, list(result.model.layers[1].parameters()))
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    assert made["std"][1] == pytest.approx(flat.std().item(), rel=1e-4)
    assert made["mean"][1] == pytest.approx(flat.mean().item(), rel=1e-3)


def test_depth_is_shown_of_deep_networks_only(corpus, tmp_path):
    """Of those that are trained anew with the printed layers, or of all in a published run."""
    names = ("14-convolution", "13-seven-layers")
    results = {name: running.run(name, corpus, PROFILE, tmp_path, 0) for name in names}
    shallow = {"14-convolution": results["14-convolution"]}
    assert deep_results(shallow, corpus, PROFILE, tmp_path / "deep", 0) == {}
    assert not (tmp_path / "deep").exists()
    made = deep_results(results, corpus, PROFILE, tmp_path / "deep", 0)
    assert {name: len(of.model.layers) for name, of in made.items()} == {"13-seven-layers": 7}
    assert (tmp_path / "deep" / "13-seven-layers" / "trained.json").is_file()
    assert deep_results(results, corpus, None, tmp_path / "none", 0) is results


def test_every_kind_of_model_rolls_out_from_every_test_clip(corpus, tmp_path):
    names = ("14-convolution", "taxonomy")
    results = {name: running.run(name, corpus, PROFILE, tmp_path, 0) for name in names}
    rolled, projected = (roll_outs(results, corpus, 70, reproject) for reproject in (False, True))
    as_made, again = (of["14-convolution"].table.drift[0] for of in (rolled, projected))
    assert again < as_made  # true rotations were fed back
    assert all(result.model.training for result in results.values())  # left as they were
    for rollout in rolled.values():
        assert rollout.predicted.shape == (3, 70, 15, 3, 3) and rollout.predicted.isfinite().all()
        assert len(rollout.table) == 1 and np.isfinite(rollout.table.speed).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["08-same-form", "14-convolution", "taxonomy", "gan"])
def test_an_experiment_runs_on_a_gpu_and_its_errors_come_back(corpus, tmp_path, name):
    result = running.run(name, corpus, PROFILE, tmp_path, seed=0, device="cuda")
    assert result.predicted.device.type == "cuda" and result.errors.table().notna().all(axis=None)
    model, data = running.load(tmp_path / name, corpus)
    made = data.space.decode(forecasts(model, data.test[:, :120], 24))
    assert torch.allclose(made, result.predicted.cpu(), atol=1e-3)


@pytest.mark.parametrize("name", experiments.PUBLISHED)
def test_every_experiment_is_built_at_full_size(name):
    """Construction only: parameter counts are in the tests of the families."""
    experiment = experiments.PUBLISHED[name]
    with torch.device("meta"):
        shape = torch.ones(experiment.pose_format.n_joints, experiment.pose_format.channels)
        normaliser = Normaliser(shape, shape)
        if isinstance(experiment.model, gan.Config):
            pair = gan.Gan(experiment.model, experiment.training, normaliser)
            assert parameter_count(pair.generator) > 2e6 < parameter_count(pair.critic)
        else:
            assert parameter_count(models.build(experiment.model, normaliser)) > 2e5
