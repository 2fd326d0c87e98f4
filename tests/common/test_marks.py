"""A mark says that work is finished, what it was made from, and what has changed since."""

import os

import pytest

from src.common.marks import DIGEST, MOST, Mark, changes, digest_of, side_by_side

VALUES = {"recipe": {"epochs": 20, "layers": (1, 2)}, "folds": DIGEST + "a"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mark.json"


def test_finished_is_what_was_written_of_these_very_values(path):
    mark = Mark(path, VALUES)
    assert not mark.is_finished and mark.changes == [] and mark.result is None
    mark.write({"clips": 3})
    assert mark.is_finished and mark.changes == [] and mark.result == {"clips": 3}
    assert Mark(path).result == {"clips": 3} and not Mark(path).is_finished
    assert Mark(path).made_from_then["recipe"] == {"epochs": 20, "layers": [1, 2]}
    other = Mark(path, VALUES | {"folds": DIGEST + "b"})
    assert not other.is_finished and other.changes == ["folds changed"]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"recipe": {"epochs": 20}}, {"recipe": {"epochs": 30}}, ["recipe.epochs 20 -> 30"]),
        ({"a": 1, "c": 2}, {"b": 1, "c": 2}, ["a is gone", "b is new"]),
        ({}, {"a": None}, ["a is new"]),
        ({"a": None}, {"a": {"p": 0.5}}, ['a null -> {"p": 0.5}']),
        ({"a": (1, 2)}, {"a": [1, 2]}, []),
        ({"a": "x" * 99}, {"a": ""}, ['a "' + "x" * 59 + '... -> ""']),
    ],
)
def test_changes_in_words(before, now, said):
    assert changes(before, now) == said


def test_a_digest_is_of_the_values_and_many_changes_are_counted():
    assert digest_of((1, "a")) == digest_of([1, "a"]) != digest_of([1, "b"])
    before, now = ({str(k): digest_of(k + add) for k in range(MOST + 3)} for add in (0, 1))
    assert changes(before, now) == [*(f"{k} changed" for k in range(MOST)), "and 3 more"]


def test_a_spoilt_mark_says_why_and_is_finished_for_no_values(path):
    mark = Mark(path, VALUES)
    assert not mark.spoil("no mark to spoil")
    mark.write()
    assert mark.spoil("its teacher is trained again")
    assert not mark.is_finished and mark.changes == ["its teacher is trained again"]
    assert not Mark(path, {"another": 1}).is_finished and not Mark(path, {}).is_finished


OLDER = "an older version of this project made it"


@pytest.mark.parametrize(
    ("content", "said"),
    [*((text, []) for text in ("", "[]", "3", "{", "[" * 100_000)), ('{"a": "01"}', [OLDER])],
)
def test_what_is_no_mark_of_today_is_not_finished(path, content, said):
    path.write_text(content)
    mark = Mark(path, VALUES)
    assert not mark.is_finished and mark.changes == said
    assert not Mark(path, {}).is_finished


def test_work_of_other_values_lies_beside_and_the_newest_is_compared(tmp_path, capsys):
    def of(name: str, epochs: int) -> tuple[Mark, list]:
        return side_by_side(tmp_path, name, {"epochs": epochs}, "mark.json")

    oldest, newest, another = of("a", 1)[0], of("a", 2)[0], of("a-b", 3)[0]
    for age, mark in enumerate((newest, oldest, another)):
        mark.tell_why_again([])
        mark.write()
        os.utime(mark.path, (0, 100 - age))
    assert of("a", 2)[0].is_finished and newest.path.parent != oldest.path.parent
    mark, others = of("a", 4)
    assert {*others} == {oldest.path, newest.path}
    assert capsys.readouterr().out == ""
    mark.tell_why_again(others)
    said = f"{mark.path.parent}: made again because of changes: epochs 2 -> 4\n"
    assert capsys.readouterr().out == said
    newest.tell_why_again([newest.path])
    assert capsys.readouterr().out == ""
