"""An error's message shows what it is about, and nothing of that acts on a terminal."""

from errno import EACCES
from zipfile import BadZipFile

import pytest

from src.common.errors import InputError, refusing, reporting


def test_what_cannot_be_printed_is_written_as_a_number_and_lines_stay():
    message = str(InputError("a\x1eb\x1b[2J\u2028\r: f\u00fcnf \u65e5\u672c \U0001f600\n  two"))
    assert message == "a\\x1eb\\x1b[2J\\u2028\\r: f\u00fcnf \u65e5\u672c \U0001f600\n  two"
    assert len(message.splitlines()) == 2


def test_a_damaged_file_is_one_line_whatever_its_reader_raises():
    """numpy takes a file that begins with PK for an archive, and BadZipFile is no ValueError."""
    message = r"clip\.npy: expected clips, found cut off here; fetch it$"
    with pytest.raises(InputError, match=message), refusing("clip.npy", "clips", "fetch it"):
        raise BadZipFile("cut off\n   here")


def test_a_file_that_may_not_be_read_is_not_to_be_deleted():
    message = r"clip\.npy: expected clips, found Permission denied; change its permissions$"
    with pytest.raises(InputError, match=message), refusing("clip.npy", "clips", "delete it"):
        raise PermissionError(EACCES, "Permission denied")


@pytest.mark.parametrize("error", [MemoryError(), InputError("said"), KeyboardInterrupt()])
def test_what_is_no_fault_of_the_file_is_passed_on_as_it_is(error):
    with pytest.raises(type(error)) as caught, refusing("a file", "clips", "delete it"):
        raise error
    assert caught.value is error


def test_a_file_that_is_not_there_is_said_in_plain_words(tmp_path):
    path = tmp_path / "train.csv"
    with pytest.raises(InputError) as refused, refusing(path, "a table", "fetch it"):
        path.read_text()
    assert str(refused.value) == f"{path}: expected a table, found no such file; fetch it"


def test_a_command_ends_with_one_line():
    with pytest.raises(SystemExit, match=r"^error: clip\.npy: expected clips$"), reporting():
        raise InputError("clip.npy: expected clips")
    with pytest.raises(KeyError), reporting():
        raise KeyError("our own mistake keeps its traceback")
