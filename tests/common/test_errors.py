"""An error's message shows what it is about, and nothing of that acts on a terminal."""

from src.common.errors import InputError


def test_what_cannot_be_printed_is_written_as_a_number_and_lines_stay():
    message = str(InputError("a\x1eb\x1b[2J\u2028\r: f\u00fcnf \u65e5\u672c \U0001f600\n  two"))
    assert message == "a\\x1eb\\x1b[2J\\u2028\\r: f\u00fcnf \u65e5\u672c \U0001f600\n  two"
    assert len(message.splitlines()) == 2
