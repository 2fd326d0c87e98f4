"""Folds: the published ones, and that no participant is ever on both sides."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.errors import InputError
from src.dataset import folds
from src.dataset.folds import EVERYTHING, PUBLISHED_PARTICIPANTS, TRAIN_ONLY


def clips(participant: list[str], label: list[int], training_only: object = False) -> pd.DataFrame:
    table = pd.DataFrame({"participant": participant, "label": label})
    return table.assign(sign=[f"sign {k}" for k in label], training_only=training_only)


@pytest.mark.reference
def test_the_whole_competition_has_the_published_counts(reference):
    """recognition.md 3.5: clips each fold is tested on."""
    index = reference("asl_signs") / "train_full.csv"
    table = pd.read_csv(index, dtype=str, keep_default_na=False)
    label = table.sign.astype("category").cat.codes.tolist()
    fold = folds.assign(clips(table.participant_id.tolist(), label))
    assert fold.value_counts().sort_index().tolist() == [22_358, 22_741, 28_237, 21_141]
    assert table.participant_id[fold == 2].nunique() == 6


def test_published_participants_are_21_and_each_in_one_fold():
    everybody = [p for group in PUBLISHED_PARTICIPANTS for p in group]
    assert len(everybody) == len(set(everybody)) == 21


def test_some_of_the_published_participants_keep_their_folds():
    table = clips(["2044", "18796", "22343", "2044"], [0, 0, 1, 2])
    assert folds.assign(table).tolist() == [0, 3, 2, 0]
    part = clips([*PUBLISHED_PARTICIPANTS[1][:2], PUBLISHED_PARTICIPANTS[3][0]], [0, 0, 1])
    part["fold"] = folds.assign(part)
    assert part.fold.tolist() == [1, 1, 3] and folds.present(part, (0,)) == (1,)
    of_one_fold = clips([p for p in PUBLISHED_PARTICIPANTS[2][:3] for _ in "ab"], [0, 1] * 3)
    assert set(folds.assign(of_one_fold)) == {0, 1, 2}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4)), min_size=1))
def test_groups_are_never_split_and_the_index_of_the_table_is_kept(drawn):
    table = clips([f"p{p}" for p, _ in drawn], [label for _, label in drawn])
    table.index = range(len(table), 0, -1)
    fold = folds.assign(table)
    assert fold.equals(folds.assign(table)) and fold.index.tolist() == table.index.tolist()
    if table.participant.nunique() > 1:  # one signer's clips have to be split
        assert fold.groupby(table.participant).nunique().eq(1).all()
        assert set(fold) <= set(range(min(4, table.participant.nunique())))


def test_every_fold_gets_its_share_of_clips_and_of_each_sign():
    """Eight participants who make one sign each, four of either: a fold gets one of either."""
    participant = [f"p{p}" for p in range(8) for _ in range(5)]
    table = clips(participant, [p % 2 for p in range(8) for _ in range(5)])
    fold = folds.assign(table)
    assert fold.value_counts().tolist() == [10] * 4
    assert (pd.crosstab(fold, table.label) == 5).all(axis=None)


def test_data_that_come_divided_are_tested_on_as_they_say():
    """Also where the participants are the competition's."""
    participant = ["2044", "18796", "22343", "other"]
    table = clips(participant, [0, 0, 1, 1], training_only=[True, False, False, True])
    assert folds.assign(table, divided=True).tolist() == [TRAIN_ONLY, 0, 0, TRAIN_ONLY]
    assert folds.assign(table[:3]).tolist() == [TRAIN_ONLY, 3, 2]


def test_only_folds_that_have_clips_are_present_and_the_fit_on_everything():
    table = clips(["a", "b", "c"], [0, 0, 0]).assign(fold=[0, 2, TRAIN_ONLY])
    assert folds.present(table, (0, 1, 2, 3, EVERYTHING)) == (0, 2, EVERYTHING)
    assert folds.present(table, (1, 3)) == (0,)  # none of them: the first that there is
    assert folds.present(table, (EVERYTHING,)) == (0, EVERYTHING)
    assert folds.present(table.assign(fold=TRAIN_ONLY), (0, EVERYTHING)) == (EVERYTHING,)


def test_few_clips_of_each_sign_are_still_cut():
    """Few-shot data: one clip of every sign, so no sign can be in every fold."""
    fold = folds.assign(clips([f"p{k % 5}" for k in range(10)], list(range(10))))
    assert {*fold} == {0, 1, 2, 3}


def test_no_clips_no_folds():
    assert folds.assign(clips([], []).astype({"training_only": bool, "participant": str})).empty


def test_hold_out_tests_on_the_named_alone():
    table = clips(["a", "b", "c", "a", "b"], [0] * 5, training_only=[False] * 4 + [True])
    assert folds.hold_out(table, ["a", "b"]).tolist() == [0, 0, TRAIN_ONLY, 0, TRAIN_ONLY]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        (" , ", ()),
        ("Ann", ("Ann",)),
        ("Ann,Doe, Jane", ("Ann", "Doe, Jane")),
        ("Doe, Jane,Ann", ("Doe, Jane", "Ann")),
        ("Doe, Ann", ("Doe", "Ann")),
        ("Doe, John", ("Doe", "John")),
        ("Jos\u00e9,Doe", ("Jose\u0301", "Doe")),
    ],
)
def test_names_are_separated_by_commas_and_may_have_some(text, names):
    known = clips(["Ann", "Doe", "Doe, Jane", "Jose\u0301"], [0, 0, 0, 0])
    assert folds.named(text, known) == names


def test_hold_out_of_nobody_there_names_who_is():
    table = clips(["a", "b", "extra/a"], [0, 0, 0], training_only=[False, False, True])
    with pytest.raises(InputError, match="no clip of participant extra/a, z; there are a, b"):
        folds.hold_out(table, ["z", "a", "extra/a"])


def test_uncovered_counts_signs_without_a_training_clip_if_there_are_any():
    table = clips(["a", "a", "a", "b", "b", "new"], [0, 1, 1, 0, 2, 2])
    table["fold"] = [0, 0, 0, 1, 1, TRAIN_ONLY]
    rows = [tuple(row) for row in folds.uncovered(table).itertuples(index=False)]
    assert rows == [(0, "sign 1", 2)]  # sign 2 is trained on by the extra clip
    none = folds.uncovered(clips(["a", "b"], [0, 0]).assign(fold=[0, 1]))
    assert none.empty and [*none] == ["fold", "sign", "clips"]
