"""Limits on what a browser may send, with a one-sentence error for whatever exceeds them.

A message that is far too large ends its connection: see server.py.
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
BETWEEN = " .,'()+-"  # allowed in a name besides letters and digits; safe in a file's name
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def check_picture(jpeg: bytes) -> None:
    """Refuse anything but a JPEG picture of a fitting size, before it is decoded.

    A small file can hold a picture of a billion pixels.
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
    """Parse a message in JSON; it is refused if it is too long, or is not JSON."""
    if len(text) > MOST_WORDS:
        raise InputError(f"expected at most {MOST_WORDS:,} characters, found {len(text):,}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("expected JSON, found something else") from error


def plain_name(what: str, text: str) -> str:
    """Check a name; returns it without spaces around it, with accents in one spelling."""
    name = unicodedata.normalize("NFC", text.strip())
    is_plain = 0 < len(name) <= LONGEST and all(c in BETWEEN or _is_letter(c) for c in name)
    if not (is_plain and name[0] not in BETWEEN and (name[-1] == ")" or name[-1] not in BETWEEN)):
        raise InputError(
            f"expected the name of a {what}: at most {LONGEST} letters, digits, spaces "
            f"and . , ' ( ) + - with a letter or digit at both ends; found {name[:LONGEST]!r}"
        )
    return name


def _is_letter(c: str) -> bool:
    # Many scripts write vowels as marks on a letter, which Python does not count as letters.
    return c.isalnum() or c == "_" or unicodedata.category(c).startswith("M")
