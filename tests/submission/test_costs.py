"""What members cost: a table, and a refusal that says who costs what."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from src.common.errors import InputError
from src.recipes.hand_bert import BERT_CPU, stages
from src.runs import About, Run
from src.submission import costs
from src.submission.costs import Cost
from src.tflite.export import write_tflite
from tests.tflite import toys
from tests.tiny import RECIPE
from tests.training.trained import run_of, run_on

A, B = Cost("a", 9.0, 4.0), Cost("b", 30.0, 6.0)


@pytest.mark.parametrize("whole", [Cost("ensemble", 40.0, 9.0), Cost("ensemble", 39.0, 100.0)])
def test_a_combination_over_a_limit_is_refused_with_every_members_cost(whole):
    costs.check(Cost("ensemble", 39.9, 99.9), [A, B])
    with pytest.raises(InputError, match=r"less than 40 MB and 100 ms.*a 9\.0 MB 4\.0 ms, b 30"):
        costs.check(whole, [A, B])


def test_minutes_are_those_of_all_stages_and_teachers_of_the_run(tmp_path):
    first, second, third = stages(BERT_CPU)
    taught = replace(third, distil=replace(third.distil, teacher="hand_bert_2,logs/other/llama"))
    recipes = {recipe.name: recipe for recipe in (first, second, taught)}
    run = Run(tmp_path, About("cpu", "", "", 0, (), (*recipes,), (0, 1)))
    run.__dict__["recipes"] = recipes
    for number, name in enumerate(recipes):
        folder = run.training_folder(name, 0)
        folder.mkdir(parents=True)
        pd.DataFrame({"seconds": [60.0, 60.0 * 10**number]}).to_csv(folder / "history.csv")
    found = [costs.minutes(run, name) for name in recipes]
    assert found == [2.0, 2.0 + 11.0, 2.0 + 11.0 + 101.0]  # the third starts from the second


def test_the_table_says_what_each_member_brings_and_costs():
    accuracy = pd.DataFrame(
        {"alone": [0.5, 0.6, 0.7], "without": [0.6, 0.5, np.nan]}, index=["a", "b", "ensemble"]
    )
    without, whole = [Cost("a", 30.0, 6.0), B], Cost("ensemble", 38.0, 9.0)
    table = costs.ensemble_table([A, B], without, whole, accuracy)
    columns = ["accuracy", "size, MB", "latency, ms"]
    assert list(table.columns) == [(side, c) for side in ("alone", "without") for c in columns]
    assert table.alone.T.to_dict("list") == {
        "a": [0.5, 9.0, 4.0], "b": [0.6, 30.0, 6.0], "ensemble": [0.7, 38.0, 9.0]
    }  # fmt: skip
    assert table.without[:2].to_numpy().tolist() == [[0.6, 30.0, 6.0], [0.5, 30.0, 6.0]]
    assert table.without.loc["ensemble"].isna().all()


def test_the_file_without_a_member_is_that_of_the_others(tmp_path, monkeypatch):
    """And their networks are not translated again, which takes longer than all the rest."""
    members = [replace(toys.deberta(n), core=toys.Normed().eval()) for n in (7, 9)]
    exported = write_tflite(members, tmp_path / "model.tflite")
    sizes = [write_tflite([member], tmp_path / "alone.tflite").size_mb for member in members]
    monkeypatch.setattr("src.tflite.graph._translated_core", None)
    found = costs.without_each(exported, tmp_path, [toys.raw_clip(5)])
    assert [(cost.name, cost.size_mb) for cost in found] == [
        ("deberta_7", sizes[1]), ("deberta_9", sizes[0])
    ]  # fmt: skip
    assert not (tmp_path / "without.tflite").exists()


def test_costs_of_other_members_or_weights_are_not_taken_for_the_runs(sample, tmp_path):
    """04 would miss a member that 03 has measured, or compare files of unlike numbers."""
    llama, other = (replace(RECIPE, name=name) for name in ("llama", "conv_transformer"))
    run = run_on(sample, [llama, other], tmp_path)
    with pytest.raises(InputError, match=r"costs\.json: .* found none; run 03 first, with"):
        costs.load(run, "fp16")
    costs.save(run, [A, B], "fp16")
    assert costs.load(run, "fp16") == [A, B]
    with pytest.raises(InputError, match=r'found WEIGHTS "fp16" -> "int8"; run 03 .*WEIGHTS=int8'):
        costs.load(run, "int8")
    changed = [replace(llama, epochs=99), other]
    for recipes, change in (([llama], "conv_transformer is gone"), (changed, "llama changed")):
        run = run_of(recipes, run.store, run.folder)
        with pytest.raises(InputError, match=f"found trainings.{change}; run 03"):
            costs.load(run, "fp16")
