"""Lines of motion files that are text: BVH, ASF and AMC."""

from pathlib import Path

from src.common.errors import refusing


def lines_of(path: Path) -> list[str]:
    """The lines of a text file with the line ends of any system.

    Any encoding of names and comments will do, because the readers need only ASCII.

    Raises:
        InputError: the file cannot be opened.
    """
    with refusing(path, "a file to read", "leave it out"):
        text = path.read_text(encoding="latin1")
    text = text.removeprefix("\xef\xbb\xbf")  # the mark that Windows editors put in front
    return text.split("\n")  # splitlines also splits at bytes within other alphabets' letters
