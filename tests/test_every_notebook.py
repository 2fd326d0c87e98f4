"""The numbered notebooks as papermill runs them: raw folder to submission.zip, on a tiny sample.

The profile is the full one, which also fits everything: that fit is what it submits. Sizes and
steps are cut by OVERRIDES.
"""

import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from src import notebooks
from src.common.files import write_json
from src.common.paths import SIGN_MAP, anchored
from src.dataset import competition
from src.dataset.clip_file import read_clip
from src.dataset.folds import EVERYTHING
from src.dataset.sample import write_sample
from src.evaluation.ensemble import chosen_votes, votes_for
from src.evaluation.tables import accuracy
from src.runs import Run
from src.submission import costs
from src.tflite.interpreter import load
from src.tflite.scorer import score

MAIN_PATH = ["01", "02", "03", "04"]
RECIPE = "frame_deberta_a"
TINY = (
    "--epochs 2 --steps 3 --batch-size 8 --soup-epochs 1 --model.dim 16 --model.widths 32 48 32 "
    "--model.dropouts 0.1 0.1 --distilled.dim 16 --distilled.widths 32 32 "
    "--distilled.dropouts 0.1"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def values(tmp_path_factory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("notebooks")
    data = write_sample(folder / "raw", signs=3, participants=4, clips=2)
    signs = competition.read_signs(data) | {"of which there is no clip": 3}
    write_json(data / SIGN_MAP, signs)
    return {
        "RUN_DIR": str(folder / "run"),
        "PROFILE": "full",
        "DATA": str(data),
        "RECIPES": RECIPE,
        "OVERRIDES": TINY,
        "WORKERS": 1,
        "SECOND_ROUTE": "none",
    }


@pytest.fixture(scope="module")
def run(values) -> Iterator[Run]:
    """The run after all four notebooks; nobody may write there."""
    assert notebooks.execute(MAIN_PATH, values, force=False, show=False) == 0
    finished = Run.open(Path(values["RUN_DIR"]))
    yield finished
    shutil.rmtree(finished.store.folder)


@pytest.fixture(scope="module")
def report(run) -> dict:
    return json.loads((run.folder / "report.json").read_text())


def test_every_fold_and_the_fit_on_everything_are_trained(run):
    assert run.about.folds == (0, 1, 2, 3, EVERYTHING)
    for fold in run.about.folds:
        assert run.training_mark(RECIPE, fold).is_finished, fold
    assert len(pd.read_parquet(run.folder / RECIPE / EVERYTHING / "predictions.parquet")) == 0
    # Every clip is predicted once, by the training that held its signer out.
    table = run.predictions(RECIPE)
    soup = table[table.role == "soup"].set_index("sequence")
    assert sorted(soup.index) == sorted(run.clips.sequence)
    assert (run.clips.set_index("sequence").fold.loc[soup.index] == soup.fold).all()


def test_the_fit_on_everything_is_submitted_and_another_file_is_scored(run, values):
    """The submitted file holds the weights of the fit: its answers are that network's."""
    with zipfile.ZipFile(run.folder / "submission.zip") as archive:
        assert archive.namelist() == ["model.tflite"]
        submitted = archive.read("model.tflite")
    assert submitted == (run.folder / "model.tflite").read_bytes()
    assert submitted != (run.folder / "scored.tflite").read_bytes()
    result = score(run.folder / "model.tflite", Path(values["DATA"]))
    assert result.passed and result.clips == 24
    network = run.model(RECIPE, EVERYTHING)
    recipe, store = run.recipe(RECIPE), run.store
    for k in range(len(store)):
        clip = recipe.read(torch.from_numpy(store.clip(k)), store.landmarks)[None]
        with torch.no_grad():
            logits = network(recipe.features(clip, None, recipe.layout))["logits"]
        assert int(logits.argmax()) == result.predictions[k]


def test_the_report_says_what_the_scored_file_answers(run, report, values):
    """Asked again, clip by clip, by the interpreter alone."""
    model = load(run.folder / "scored.tflite")
    index = competition.read_index(Path(values["DATA"]))
    held_out = index[index.sequence.isin(run.clips.sequence[run.clips.fold == 0])]
    right = np.array(
        [model(read_clip(row.path)).argmax() == row.label for row in held_out.itertuples()]
    )
    assert report["accuracy"] == pytest.approx(right.mean())
    for signer, found in report["by_signer"].items():
        inside = (held_out.participant == signer).to_numpy()
        assert found == {"accuracy": right[inside].mean(), "clips": inside.sum()}
    assert report["held_out"] == sorted(set(held_out.participant))
    assert report["clips"] == {"all": 24, "scored": len(held_out), "training_only": 0, "extra": 0}


def test_the_report_says_what_the_run_is(run, report, values):
    assert report["profile"] == "full" and run.about.asked == RECIPE
    assert anchored(report["data"]).resolve() == Path(values["DATA"])
    assert report["origin"] == "synthetic" and report["fit_on_everything"] and report["fold"] == 0
    assert (report["signs"], report["outputs"], report["participants"]) == (3, 4, 4)
    assert report["seed"] == 0
    table = run.shipped_predictions()[RECIPE]
    table = table[table.fold == 0]
    by_torch = np.mean([np.argmax(row.logits) == row.label for row in table.itertuples()])
    assert report["accuracy_torch"] == {RECIPE: pytest.approx(by_torch)}
    assert report["size_mb"] == (run.folder / "scored.tflite").stat().st_size / 1e6
    assert set(report["latency_ms"]) == {"mean", "median", "p95"}
    assert all(report["limits"].values()) and all(r["passed"] for r in report["parity"].values())
    parameters = sum(p.numel() for p in run.model(RECIPE, 0).parameters())
    # Alone it has all of the weight; it is calibrated on the folds that it is not scored on.
    vote = votes_for(run.shipped_predictions(), 0)[RECIPE]
    assert vote.weight == 1.0 and vote.temperature != 1.0
    assert report["members"] == {RECIPE: {"parameters": parameters, **asdict(vote)}}
    # The submitted file is of the fit on everything, calibrated on all folds.
    submitted, votes = report["submitted"], chosen_votes(run.shipped_predictions(), "fitted")
    assert submitted["members"] == {RECIPE: {"parameters": parameters, **asdict(votes[RECIPE])}}
    assert submitted["members"] != report["members"]
    assert submitted["size_mb"] == (run.folder / "model.tflite").stat().st_size / 1e6


def test_the_report_in_words_says_the_same(run, report):
    words = (run.folder / "report.md").read_text()
    assert words.startswith(f"# {report['accuracy']:.1%} on held-out signers\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in words.splitlines()]
    assert ["this file", f"{report['accuracy']:.1%}"] in rows
    member = report["members"][RECIPE]
    by_torch = f"{report['accuracy_torch'][RECIPE]:.1%}"
    parameters, temperature = f"{member['parameters']:,}", f"{member['temperature']:.2f}"
    assert [RECIPE, parameters, "1.00", temperature, by_torch] in rows
    for name, rung in report["parity"].items():
        assert [name, f"{rung['difference']:.1e}", f"{rung['agreement']:.1%}", "pass"] in rows


def test_recipes_are_compared_by_what_they_are_and_cost(run):
    alone = costs.load(run, "fp16")
    (row,) = costs.recipe_table(run, alone).to_dict("records")
    assert row["parameters"] == sum(p.numel() for p in run.model(RECIPE, 0).parameters())
    table = run.shipped_predictions()[RECIPE]
    assert row["held-out accuracy"] == accuracy(table)
    paths = (run.folder / RECIPE).glob("*/history.csv")
    seconds = [pd.read_csv(path).seconds.sum() for path in paths]
    assert len(seconds) == 5 and row["training, min"] == pytest.approx(sum(seconds) / 60)
    assert row["size, MB"] == (run.folder / "members" / f"{RECIPE}.tflite").stat().st_size / 1e6
    assert "private .877" in row[f"score {costs.OTHER_DATA}"]


def test_all_figures_and_tables_are_there(run):
    for name in ("validation.csv", "ensemble.csv", "model_card.md", "oof.parquet"):
        assert (run.folder / name).stat().st_size > 0, name
    for name in ("lengths_and_gaps", "learning_curves", "confusions", "latency"):
        assert (run.folder / "figures" / f"{name}.png").stat().st_size > 0, name


def test_nothing_is_done_twice_and_a_changed_value_is_named(run, values, capsys):
    assert notebooks.execute(MAIN_PATH, values, force=False, show=False) == 0
    assert capsys.readouterr().out.count("already done") == 4
    mark = notebooks._mark(run.folder, notebooks.notebooks()["04"], values | {"LIMIT": 5}, {})
    assert "parameters.LIMIT is new" in mark.changes
