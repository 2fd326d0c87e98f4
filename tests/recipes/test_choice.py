"""Which recipes a run trains, and which landmarks a store keeps."""

from dataclasses import replace

import pytest

from src.common.errors import InputError
from src.recipes import SOLUTIONS, choose, solution_of
from src.recipes.checks import overridden
from src.recipes.profiles import PROFILES, profile


def test_a_member_can_be_chosen_alone_and_comes_once():
    (only,) = choose("frame_deberta_b", "cpu")
    assert only == SOLUTIONS["frame_deberta"].cpu[1]
    assert len(choose(" frame_deberta_b , frame_deberta ", "cpu")) == 2


KNOWN, SOME = r"RECIPES.*frame_deberta.*frame_deberta_a", "at least one solution"


@pytest.mark.parametrize(
    ("names", "found"), [("frame_debertta", KNOWN), ("frame_deberta, nobody", KNOWN), (" , ", SOME)]
)
def test_an_unknown_name_lists_the_known_and_a_lone_comma_is_refused(names, found):
    with pytest.raises(InputError, match=found):
        choose(names, "full")


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


def test_a_number_after_a_colon_trains_a_solution_with_so_many_seeds():
    one, two, three = choose("llama:3", "cpu")
    assert (one,) == SOLUTIONS["llama"].cpu
    assert [r.name for r in (one, two, three)] == ["llama", "llama_seed1", "llama_seed2"]
    assert len({one.seed, two.seed, three.seed}) == 3
    assert replace(three, name="llama", seed=0) == one
    assert {solution_of(recipe.name) for recipe in (one, two, three)} == {"llama"}
    overridden((one, two, three), "")  # they differ


def test_a_copys_stages_learn_from_each_other_and_not_from_the_first_ones():
    first, second = choose("hand_bert:2", "cpu")[:3], choose("hand_bert:2", "cpu")[3:]
    assert first == SOLUTIONS["hand_bert"].cpu
    assert [recipe.name for recipe in second] == [f"hand_bert_{n}_seed1" for n in (1, 2, 3)]
    assert second[2].start == "hand_bert_2_seed1"
    assert second[2].distil.teachers == ("hand_bert_2_seed1",)
    seeds = [recipe.seed for recipe in (*first, *second)]
    assert len(set(seeds)) == len(seeds)
    # A teacher that is no copy stays.
    (_, alone) = choose("hand_bert_3:2", "cpu")
    assert alone.start == "hand_bert_2"


@pytest.mark.parametrize("asked", ["llama:", "llama:0", "llama:three", "llama:-1", "llama:100"])
def test_a_number_of_seeds_that_is_none_is_refused(asked):
    with pytest.raises(InputError, match=f"RECIPES: {asked}: expected a number of seeds.* llama:3"):
        choose(asked, "cpu")


def test_an_unknown_profile_lists_the_known():
    with pytest.raises(InputError, match="PROFILE: no profile 'huge'; there are sample, cpu, full"):
        profile("huge")
