"""Recipes survive JSON; flags change what they name."""

import json
from dataclasses import dataclass, fields, replace

import pytest

from src.common.errors import InputError
from src.recipes import SOLUTIONS
from src.recipes.base import Recipe
from src.recipes.config import from_json, load, override, save, to_json
from src.recipes.frame_deberta import A, B
from src.recipes.hierarchical import PUBLISHED
from src.recipes.ingredients import MeanTeacher, OneCycle, WarmRestarts
from src.recipes.profiles import PROFILES
from src.transforms.steps.frames import Hide
from src.transforms.steps.normalise import MirrorHands

RECIPES = {
    f"{profile}/{recipe.name}": recipe
    for solution in SOLUTIONS.values()
    for profile in PROFILES
    for recipe in solution.recipes(profile)
}
EVERY = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def as_read(recipe: Recipe) -> dict:
    """What a recipe's file holds."""
    return json.loads(json.dumps(to_json(recipe)))


@EVERY
def test_json_gives_the_same_recipe_back(recipe, tmp_path):
    """Also by name and to the type of every number."""
    path = tmp_path / "config.json"
    save(recipe, path)
    again = load(path)
    assert again == recipe and repr(again) == repr(recipe)  # of the parts' order, too


@dataclass(frozen=True, kw_only=True)
class Vague(Recipe):
    """Recipe's own `schedule` may be of seven kinds; a recipe's class has to say which."""


def test_what_would_be_read_back_as_another_kind_is_refused_before_a_run_depends_on_it(
    tmp_path, monkeypatch
):
    clip, path = replace(B.clip), tmp_path / "config.json"
    object.__setattr__(clip, "hands", Hide(("left_hand",)))  # past the tests' type checks
    vague = Vague(
        **{field.name: getattr(B, field.name) for field in fields(Recipe)} | {"mix": None}
    )
    with pytest.raises(InputError, match="found a Vague, which is in none; add its solution"):
        save(vague, path)
    kinds = {type(recipe).__name__: type(recipe) for recipe in (B, vague)}
    monkeypatch.setattr("src.recipes.config._kinds", lambda: kinds)
    for recipe, found in (
        (replace(B, clip=clip), r"config\.json: .*found another kind in clip"),
        (vague, r"config\.json: expected each field to declare one kind.*Unsupported type"),
    ):
        with pytest.raises(InputError, match=found):
            save(recipe, path)
        assert not path.exists()


def test_two_recipe_classes_of_one_name_are_refused(monkeypatch, tmp_path):
    """As after copying a file: recipes of the one would be read as those of the other."""
    copied = type(type(A).__name__, (type(A),), {"__module__": "src.recipes.mine"})(**vars(A))
    solution = replace(SOLUTIONS["llama"], full=(copied,))
    monkeypatch.setitem(SOLUTIONS, "mine", solution)
    for recipe in (A, copied):
        message = r"src\.recipes\.mine: .*FrameDebertaRecipe, which src\.recipes\.frame_deberta has"
        with pytest.raises(InputError, match=message):
            save(recipe, tmp_path / "config.json")


def test_a_config_of_before_ships_was_called_so_is_read():
    value = to_json(B)
    value["values"]["member"] = value["values"].pop("ships")
    assert from_json(value, "config.json") == B


def test_a_number_written_without_its_point_is_the_same_number():
    value = as_read(A)
    value["values"]["augment"]["rotate"]["degrees"] = 60
    again = from_json(value, "here")
    assert repr(again) == repr(A)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("{", "Expecting property name.*; run 01_preparation with --force"),
        ("[]", "expected a recipe"),
        ("{}", "expected a recipe"),
        ('{"type": "Unknown", "values": {}}', "expected a recipe"),
        ('{"type": "FrameDebertaRecipe", "values": {}}', "required field missing"),
    ],
    ids=["no file", "no JSON", "a list", "nothing in it", "unknown type", "no values"],
)
def test_what_is_no_recipe_is_refused_with_the_files_name(tmp_path, content, reason):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=rf"config\.json.*{reason}"):
        load(path)


@pytest.mark.parametrize(
    ("rotate", "field"),
    [
        ({"p": 0.5, "degrees": 60.0, "radians": 1.0}, "radians"),
        ({"p": 0.5}, "degrees"),
        ({"p": 0.5, "degrees": "far"}, "degrees"),
    ],
    ids=["extra", "missing", "wrong type"],
)
def test_a_recipe_of_other_fields_names_the_field(rotate, field):
    value = as_read(A)
    value["values"]["augment"]["rotate"] = rotate
    with pytest.raises(InputError, match=r"logs/config\.json.*recipe\.augment\.rotate") as refused:
        from_json(value, "logs/config.json")
    assert field in str(refused.value)


@EVERY
def test_a_flag_changes_its_value_and_no_other_and_no_flag_none(recipe):
    assert override(recipe, "") is recipe and override(recipe, "  ") is recipe
    changed = override(recipe, "--epochs 3 --optimiser.lr 0.5")
    assert changed == replace(recipe, epochs=3, optimiser=replace(recipe.optimiser, lr=0.5))


@pytest.mark.parametrize(
    ("recipe", "flags", "read", "expected"),
    [
        (B, "--augment.rotate.degrees 30", lambda r: r.augment.rotate.degrees, 30.0),
        (B, "--augment.resize.distort-by-sum", lambda r: r.augment.resize.distort_by_sum, True),
        (B, "--model.widths 16 32 16", lambda r: r.model.widths, (16, 32, 16)),
        (B, "--distilled.mlp-dropout 0.025", lambda r: r.distilled.mlp_dropout, 0.025),
        (B, "--loss.among all", lambda r: r.loss.among, "all"),
        (B, "--shipped student", lambda r: r.shipped, "student"),
        (PUBLISHED, "schedule:one-cycle --schedule.warmup .3 --schedule.start .04 --schedule.end 0",
         lambda r: r.schedule, OneCycle(0.3, 0.04, 0.0)),
        (PUBLISHED, "--epochs 3 schedule:warm-restarts --schedule.first 0.2",
         lambda r: (r.epochs, r.schedule), (3, WarmRestarts(0.2))),
        (PUBLISHED, "schedule:warm-restarts --schedule.first 0.2 --epochs 3",
         lambda r: (r.epochs, r.schedule), (3, WarmRestarts(0.2))),
        (PUBLISHED, "mean-teacher:mean-teacher --mean-teacher.decay 0.9 stop:none",
         lambda r: (r.mean_teacher, r.stop), (MeanTeacher(decay=0.9), None)),
        (PUBLISHED, "clip.mirror-hands:mirror-hands", lambda r: r.clip.mirror_hands, MirrorHands()),
    ],
    ids=lambda value: getattr(value, "name", None),
)  # fmt: skip
def test_flags_reach_every_depth_and_choose_the_kind_of_thing(recipe, flags, read, expected):
    changed = override(recipe, flags)
    assert read(changed) == expected and read(recipe) != expected
    of_published = {"epochs", "schedule", "mean_teacher", "stop", "clip"}
    of_b = {"augment", "model", "distilled", "loss", "shipped"}
    usual = of_published if recipe is PUBLISHED else of_b
    assert replace(changed, **{name: getattr(recipe, name) for name in usual}) == recipe
    assert repr(from_json(as_read(changed), "here")) == repr(changed)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--epoch 3", "Unrecognized options: --epoch, 3. Perhaps you meant: --epochs INT"),
        ("schedule:two-cycles", "schedule:two-cycles"),
        ("schedule:one-cycle", "schedule.warmup FLOAT"),
        ("--augment.rotate.radians 1", "--augment.rotate.radians"),
        ("--epochs many", "many"),
        ("--epochs 2.5", "2.5"),
        ("--augment.rotate.degrees far", "far"),
        ("--mix.falling perhaps", "perhaps"),
        ("--loss.among both", "both"),
        ("--shipped nobody", "nobody"),
        ("--epochs", "--epochs"),
        ("epochs=3", "epochs=3"),
        ('--name "half', "No closing quotation"),
    ],
)
def test_wrong_flags_are_refused_by_name(flags, named):
    recipe = PUBLISHED if flags.startswith("schedule") else A
    with pytest.raises(InputError, match="OVERRIDES") as refused:
        override(recipe, flags)
    message = str(refused.value)
    assert named in message.removeprefix(f"OVERRIDES: {flags!r}")
    assert recipe.name in message and "--<field>" in message
    assert "\n" not in message and "full help" not in message
