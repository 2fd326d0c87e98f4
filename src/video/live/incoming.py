"""What may come in from a browser: its bounds, each with one sentence for what is beyond.

A message that is larger still ends its connection: see server.py.
"""

import json
import unicodedata
from io import BytesIO

from PIL import Image

from src.common.errors import InputError

WIDTH = 640  # of a picture, at most, in pixels
HEIGHT = 480
MOST_BYTES = 1_000_000  # of a picture; 640 x 480 have 40,000
MOST_WORDS = 10_000  # characters of a message that is no picture
LONGEST = 60  # characters of a name
BETWEEN = " .,'()+-"  # what a name may hold beside letters and figures; safe in a file's name
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def check_picture(jpeg: bytes) -> None:
    """Refuse what is no JPEG picture or too large a one, before anything decodes it.

    It could be of a billion pixels.
    """
    if len(jpeg) > MOST_BYTES:
        raise InputError(f"expected a picture of at most {MOST_BYTES:,} bytes, found {len(jpeg):,}")
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as picture:
            width, height = picture.size
    except (OSError, ValueError, SyntaxError, *BOMBS) as error:
        raise InputError("expected a JPEG picture, found something else") from error
    if width > WIDTH or height > HEIGHT:
        raise InputError(
            f"expected a picture of at most {WIDTH} x {HEIGHT}, found {width} x {height}"
        )


def parsed(text: str) -> object:
    """What a message in JSON says; refused if it is too long, or no JSON."""
    if len(text) > MOST_WORDS:
        raise InputError(f"expected at most {MOST_WORDS:,} characters, found {len(text):,}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("expected JSON, found something else") from error


def plain_name(what: str, text: str) -> str:
    """A plain name, others are refused: without spaces around it, accents in one spelling."""
    name = unicodedata.normalize("NFC", text.strip())
    is_plain = 0 < len(name) <= LONGEST and all(c in BETWEEN or _is_letter(c) for c in name)
    if not (is_plain and name[0] not in BETWEEN and (name[-1] == ")" or name[-1] not in BETWEEN)):
        raise InputError(
            f"expected the name of a {what}: letters and figures first and last, at most {LONGEST} "
            f"of them and of spaces . , ' ( ) + - between; found {name[:LONGEST]!r}"
        )
    return name


def _is_letter(c: str) -> bool:
    # Many scripts write vowels as marks at a letter, which are no letters to Python.
    return c.isalnum() or c == "_" or unicodedata.category(c).startswith("M")
