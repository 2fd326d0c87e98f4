"""Which recipes a run trains, and which landmarks a store keeps."""

import pytest

from src.common.errors import InputError
from src.recipes import SOLUTIONS, choose, landmark_union, solution_of
from src.recipes.profiles import PROFILES, profile


def test_a_member_can_be_chosen_alone_and_comes_once():
    (only,) = choose("frame_deberta_b", "cpu")
    assert only == SOLUTIONS["frame_deberta"].cpu[1]
    assert len(choose(" frame_deberta_b , frame_deberta ", "cpu")) == 2


def test_the_union_of_all_recipes_is_kept():
    union = landmark_union()
    assert list(union) == sorted(set(union))
    recipes = [recipe for solution in SOLUTIONS.values() for recipe in solution.all_recipes]
    assert set(union) == {k for recipe in recipes for k in recipe.layout.sources}


KNOWN, SOME = r"RECIPES.*frame_deberta.*frame_deberta_a", "at least one solution"


@pytest.mark.parametrize(
    ("names", "found"),
    [("frame_debertta", KNOWN), ("frame_deberta, nobody", KNOWN), (" , ", SOME)],
)
def test_an_unknown_name_lists_the_known_and_a_lone_comma_is_refused(names, found):
    with pytest.raises(InputError, match=found):
        choose(names, "full")


@pytest.mark.parametrize("names", ["hand_bert_1", "hand_bert_2,hand_bert_1"])
def test_stages_that_only_teach_are_refused(names):
    with pytest.raises(InputError, match=f"found only {names.replace(',', ', ')}.*, hand_bert$"):
        choose(names, "cpu")


def test_no_name_is_the_choice_of_the_profile():
    few_clips, usual = {"conv_transformer", "hand_bert"}, {"frame_deberta"}
    for size in PROFILES:
        expected = few_clips if size == "cpu" else usual
        assert {solution_of(recipe.name) for recipe in choose("", size)} == expected


def test_every_solution_has_every_profile_and_no_name_comes_twice():
    for size in PROFILES:
        recipes = [r for of, s in SOLUTIONS.items() if of != "pupil" for r in s.recipes(size)]
        assert len({recipe.name for recipe in recipes}) == len(recipes)
        assert choose(",".join(SOLUTIONS), size) == (*recipes, SOLUTIONS["pupil"].recipes(size)[-1])


@pytest.mark.parametrize("size", PROFILES)
def test_the_pupil_comes_after_its_teachers_and_one_of_them_goes_into_the_file(size):
    *teachers, pupil = choose("pupil", size)
    assert pupil.name == "pupil" and pupil.ships
    assert [t.name for t in teachers if t.ships] == ["hand_bert_3"]
    assert set(pupil.distil.teachers) < {teacher.name for teacher in teachers}


def test_the_pupils_other_teachers_are_shipped_only_where_they_are_asked_for():
    for names in ("llama,pupil", "pupil,llama"):
        shipped = {r.name for r in choose(names, "cpu") if r.ships}
        assert shipped == {"hand_bert_3", "llama", "pupil"}
    assert choose("llama", "cpu") == SOLUTIONS["llama"].cpu


def test_an_unknown_profile_lists_the_known():
    with pytest.raises(InputError, match="PROFILE: no profile 'huge'; there are sample, cpu, full"):
        profile("huge")
