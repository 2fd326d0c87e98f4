"""An error's message shows what it is about, and nothing of that acts on a terminal."""

from src.common.errors import InputError


def test_what_cannot_be_printed_is_written_as_a_number():
    message = str(InputError("a\x1eb\x1b[2J\u2028\r: f\u00fcnf \u65e5\u672c \U0001f600"))
    assert message == "a\\x1eb\\x1b[2J\\u2028\\r: f\u00fcnf \u65e5\u672c \U0001f600"
    assert len(message.splitlines()) == 1


def test_what_can_be_printed_stays_and_so_do_lines():
    text = "logs/sample: expected 3, found 4\n  in two lines"
    assert str(InputError(text)) == text
    assert InputError(text).args == (text,)
