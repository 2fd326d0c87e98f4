"""train.csv and the sign map: read as they are, and refused for everything that could be wrong."""

from errno import EACCES
from functools import partial
from itertools import product
from pathlib import Path
from unicodedata import normalize
from unittest.mock import Mock

import pandas as pd
import pytest

from src.common.errors import InputError
from src.common.paths import SIGN_MAP
from src.dataset import competition
from src.dataset.competition import clip_path, read_index, read_signs

HEADER = "path,participant_id,sequence_id,sign\n"


def line(participant: str = "7", sequence: str = "100", sign: str = "yes", path: str = "") -> str:
    return f"{path or clip_path(participant, sequence)},{participant},{sequence},{sign}\n"


second = partial(line, sequence="101")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three clips of two participants and two signs; the files are empty, read_index opens none."""
    root = tmp_path / "asl"
    rows = [("7", "100", "yes"), ("7", "101", "no"), ("8", "102", "yes")]
    for participant, sequence, _ in rows:
        path = root / clip_path(participant, sequence)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "train.csv").write_text(HEADER + "".join(line(*row) for row in rows))
    (root / SIGN_MAP).write_text('{"no": 1, "yes": 0}')
    return root


def refused(call, *args) -> str:
    with pytest.raises(InputError) as error:
        call(*args)
    return str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_signs_in_the_files_order(folder, encoding):
    (folder / SIGN_MAP).write_text('{"no": 1, "yes": 0}', encoding=encoding)
    assert list(read_signs(folder).items()) == [("no", 1), ("yes", 0)]


BROKEN_MAPS = {
    "no JSON": ("{'yes': 0}", "expected a JSON file"),
    "a list": ('["yes", "no"]', "expected {sign: label}"),
    "empty": ("{}", "expected {sign: label}"),
    "labels are text": ('{"yes": "0", "no": "1"}', "whole numbers as labels"),
    "labels are not whole": ('{"yes": 0.0, "no": 1.0}', "whole numbers as labels"),
    "labels are truths": ('{"yes": false, "no": true}', "whole numbers as labels"),
    "a gap": ('{"yes": 0, "no": 2}', "have the labels 0 to 1, each once; found no '1'"),
    "a label twice": ('{"yes": 0, "no": 0}', "found no '1'"),
    "a sign twice": ('{"yes": 0, "no": 1, "yes": 2}', "each sign once, found 'yes' more often"),
    "one sign": ('{"yes": 0}', "expected two signs at least, found one: 'yes'"),
    "endlessly deep": ("[" * 100_000, "expected a JSON file"),
    "another encoding": ('{"p\udce8re": 0}', "expected a JSON file"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN_MAPS.values(), ids=BROKEN_MAPS)
def test_refuses_a_map(folder, text, message):
    (folder / SIGN_MAP).write_text(text, errors="surrogateescape")
    error = refused(read_signs, folder)
    assert message in error
    assert str(folder / SIGN_MAP) in error


def test_index_has_a_row_per_clip_in_order(folder):
    index = read_index(folder)
    assert list(index.columns) == ["path", "participant", "sequence", "sign", "label"]
    expected = [("7", "100", "yes", 0), ("7", "101", "no", 1), ("8", "102", "yes", 0)]
    assert index.path.tolist() == [str(folder / clip_path(*row[:2])) for row in expected]
    assert [*index.drop(columns="path").itertuples(index=False, name=None)] == expected


def test_further_columns_and_a_byte_order_mark_do_no_harm(folder):
    table = pd.read_csv(folder / "train.csv", dtype=str).assign(note="x")
    table[table.columns[::-1]].to_csv(folder / "train.csv", index=False, encoding="utf-8-sig")
    assert read_index(folder).sequence.tolist() == ["100", "101", "102"]


@pytest.mark.parametrize(
    "name",
    ["Žofie", "参加者", "a b", "e\u0301", "'; DROP TABLE", "-rf", "...", "NA", "0012", "null"],
)
def test_unusual_names_are_names(folder, name):
    """Leading zeros stay; a participant or a sign may be called what pandas takes for missing."""
    path = folder / clip_path(name, name)
    path.parent.mkdir()
    path.touch()
    (folder / "train.csv").write_text(HEADER + line(name, name, name))
    sign = normalize("NFC", name)
    index = read_index(folder, {sign: 0})
    assert index.iloc[0].tolist() == [str(path), name, name, sign, 0]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_sign_may_have_another_unicode_form_in_the_map(folder, forms):
    in_map, in_table = (normalize(form, "caf\u00e9") for form in forms)
    (folder / SIGN_MAP).write_text(f'{{"no": 1, "{in_map}": 0}}')
    (folder / "train.csv").write_text(HEADER + line(sign=in_table))
    assert read_index(folder).label.tolist() == [0] and "caf\u00e9" in read_signs(folder)


def test_a_file_of_another_unicode_form_is_said_to_be_one(folder):
    path = clip_path("7", "caf\u00e9")
    (folder / normalize("NFD", path)).touch()
    (folder / "train.csv").write_text(HEADER + line(path=path))
    assert "differ in Unicode form" in refused(read_index, folder)


BROKEN_TABLES = {
    "empty": ("", "expected a table of clips"),
    "only the header": (HEADER, "expected a row per clip, found only the header"),
    "a column lacks": ("path,participant_id,sign\nx,7,yes\n", "found no 'sequence_id'"),
}
BROKEN_ROWS = {  # below the header
    "a ragged row": ("a,b,c,d,e\nx\n" + "a,b,c,d,e,f,g\n", "expected a table of clips"),
    "a comma after each row": (line(sign="yes,"), "in the header, 4, found more in the"),
    "a comma after the first row": (line(sign="yes,") + second(), "in the header, 4, found more"),
    "a column without a name": (line(sign="yes,x") + second(sign="yes,y"), "name every column"),
    "a signer with a space": (
        line() + second("7 ", path=clip_path("7", "101")),
        "each participant_id in one spelling, found '7', '7 ', which differ only in spaces",
    ),
    "a signer as a fraction": (
        line() + second("7.0", path=clip_path("7", "101")),
        "found '7', '7.0', which differ only in spaces, leading zeros, '.0' or Unicode form",
    ),
    "a signer with leading zeros": (
        line() + second("007", path=clip_path("7", "101")),
        "each participant_id in one spelling, found '007', '7', which",
    ),
    "a signer in two Unicode forms": (
        line("\u00e9", path=clip_path("7", "100")) + second("e\u0301", path=clip_path("7", "101")),
        "each participant_id in one spelling",
    ),
    "a sign with a space": (line() + second(sign=" yes"), "each sign in one"),
    "a file in two spellings": (
        line() + second(path="train_landmark_files\\7/100.parquet"),
        "7/100.parquet' more often; remove the repeated rows",
    ),
    "a file by another way": (
        line() + second(path="./train_landmark_files/8/../7/100.parquet"),
        "7/100.parquet' more often; remove the repeated rows",
    ),
    "an empty field": (line() + second(sign=""), "found 1 empty, the first in line 3, column sign"),
    "unknown signs": (
        line(sign="maybe") + second(sign="perhaps"),
        "expected only signs of sign_to_prediction_index_map.json, found 'maybe', 'perhaps'",
    ),
    "a sequence twice": (line() * 2, "found '100' more often; remove the repeated rows"),
    "a number for two clips": (
        line() + line(path=clip_path("7", "101")),
        "expected each sequence_id once, found '100' more often; give each clip a number",
    ),
    "a file twice": (
        line() + second(path=clip_path("7", "100")),
        "expected each path once, found 'train_landmark_files/7/100.parquet'",
    ),
    "a path out of the folder": (line(path="../secret.parquet"), "expected paths inside"),
    "a path out and in again": (
        line(path="train_landmark_files/../../x/100.parquet"),
        "expected paths inside",
    ),
    "an absolute path": (line(path="/etc/passwd"), "expected paths inside"),
    "a NUL": (line(path="train_landmark_files/\0/100.parquet"), "expected"),
    "a folder": (line(path="train_landmark_files/7"), "found none for 1"),
}
for _name, _column in product(("..", ".", "a/b", "/etc", "..\\x"), ("participant", "sequence")):
    BROKEN_ROWS[f"{_column} {_name}"] = (
        line(**{_column: _name}, path=clip_path("7", "100")),
        f"expected plain names as {_column}_id, found ",
    )
BROKEN_TABLES |= {name: (HEADER + rows, message) for name, (rows, message) in BROKEN_ROWS.items()}


@pytest.mark.parametrize(("text", "message"), BROKEN_TABLES.values(), ids=BROKEN_TABLES)
def test_refuses_an_index(folder, text, message):
    (folder.parent / "secret.parquet").touch()
    (folder / "train.csv").write_text(text)
    error = refused(read_index, folder)
    assert message in error
    assert str(folder / "train.csv") in error


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_refused_with_the_one_to_save_it_in(folder, encoding):
    (folder / "train.csv").write_text(HEADER + line(sign="caf\u00e9"), encoding)
    assert "save it as UTF-8" in refused(read_index, folder)


def test_every_missing_file_is_counted_and_the_first_are_named(folder):
    lines = [line(sequence=str(k)) for k in range(100, 112)]
    (folder / "train.csv").write_text(HEADER + "".join(lines))
    error = refused(read_index, folder)
    assert "a file for each of its 12 rows, found none for 10" in error
    assert f"'{clip_path('7', '102')}'" in error
    assert f"'{clip_path('7', '106')}' and 5 more" in error


def test_clips_that_may_not_be_listed_are_not_said_to_be_missing(folder, monkeypatch):
    denied = Mock(side_effect=PermissionError(EACCES, "Permission denied"))
    monkeypatch.setattr(competition.os, "scandir", denied)
    error = refused(read_index, folder)
    assert "/7: expected a folder to read, found Permission denied; change its" in error


@pytest.mark.parametrize(
    ("name", "message"), [(SIGN_MAP, "a JSON file"), ("train.csv", "a table of clips")]
)
def test_refuses_a_missing_file(folder, name, message):
    (folder / name).unlink()
    assert f"{folder / name}: expected {message}" in refused(read_index, folder)


@pytest.mark.parametrize("link", ["file", "participant"])
def test_a_link_may_not_lead_out_of_the_folder(folder, link):
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "100.parquet").touch()
    place = folder / clip_path("7", "100")
    if link == "file":
        place.unlink()
        place.symlink_to(outside / "100.parquet")
    else:
        place.parent.rename(folder / "moved")
        place.parent.symlink_to(outside)
    assert "expected paths inside" in refused(read_index, folder)


def test_a_link_within_the_folder_and_a_link_to_the_folder_are_fine(folder):
    place = folder / clip_path("7", "100")
    place.rename(folder / "kept.parquet")
    place.symlink_to(folder / "kept.parquet")
    (folder.parent / "link").symlink_to(folder)
    assert len(read_index(folder.parent / "link")) == 3


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "clips", "participants", "signs", "all_signs"),
    # The numbers of the folders' own README files.
    [("asl_signs", 229, 14, 7, 250), ("webcam34", 1283, 6, 34, 34), ("wlasl50", 335, None, 50, 50)],
)
def test_genuine_folders(reference, name, clips, participants, signs, all_signs):
    folder = reference(name)
    index = read_index(folder)
    assert len(read_signs(folder)) == all_signs
    assert len(index) == clips
    assert index.sign.nunique() == signs
    if participants:
        assert index.participant.nunique() == participants
    assert (index.label == index.sign.map(read_signs(folder))).all()
