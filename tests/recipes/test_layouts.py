"""The points of the recipes against the landmark lists and flips that the documents give."""

import pytest

from src.landmarks import LEFT_HAND, RIGHT_HAND
from src.recipes import conv_transformer, frame_deberta, hand_bert, hierarchical, llama


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


# anchors.md, "The highest anchor", and recognition.md 4.1, which have the same lips.
LIPS = numbers("""61 185 40 39 37 0 267 269 270 409 291 146 91 181 84 17 314 405 321 375 78 191 80
    81 82 13 312 311 310 415 95 88 178 87 14 317 402 318 324 308""")
RIGHT_EYE = numbers("33 7 163 144 145 153 154 155 133 246 161 160 159 158 157 173")
LEFT_EYE = numbers("263 249 390 373 374 380 381 382 362 466 388 387 386 385 384 398")
RIGHT_LIPS = numbers("84 181 91 146 61 185 40 39 37 87 178 88 95 78 191 80 81 82")
LEFT_LIPS = numbers("314 405 321 375 291 409 270 269 267 317 402 318 324 308 415 310 311 312")
# recognition.md 2.1.
HEAD = numbers("""13 14 33 81 95 133 145 154 157 159 161 163 178 191 263 311 324 362 374 381 384 386
    388 390 402 415""")
HANDS = [*LEFT_HAND, *RIGHT_HAND]
PUBLISHED = {
    "conv_transformer": (
        conv_transformer.LAYOUT,
        [*LIPS, *HANDS, 1, 2, 98, 327, *RIGHT_EYE, *LEFT_EYE],
    ),
    "llama": (llama.LAYOUT, [*HEAD, *LEFT_HAND, *range(489, 506), *RIGHT_HAND]),
    # The document reads the left forearm alone; the other one is there to be mirrored.
    "hierarchical": (
        hierarchical.LAYOUT,
        [*LIPS, *HANDS, *range(502, 512, 2), *range(503, 512, 2)],
    ),
}


@pytest.mark.parametrize(("layout", "expected"), PUBLISHED.values(), ids=PUBLISHED)
def test_the_layout_is_the_published_one_in_order(layout, expected):
    assert [k for (k,) in layout.points] == expected


def test_the_first_places_flip_is_the_authors_table():
    """Hands, the sides of the lips, the eyes, and the two wings of the nose; the midline stays."""
    layout = conv_transformer.LAYOUT
    pairs = [*zip(LEFT_HAND, RIGHT_HAND, strict=True), (98, 327)]
    pairs += [*zip(RIGHT_EYE, LEFT_EYE, strict=True), *zip(LEFT_LIPS, RIGHT_LIPS, strict=True)]
    expected = dict(pairs) | {b: a for a, b in pairs}
    landmarks = [k for (k,) in layout.points]
    ours = {k: landmarks[j] for k, j in zip(landmarks, layout.mirror, strict=True)}
    assert ours == {k: expected.get(k, k) for k in landmarks}


def test_the_second_and_the_sixth_places_flips_are_the_published_ones():
    second, sixth = hand_bert.LAYOUT.mirror, frame_deberta.LAYOUT.mirror
    # recognition.md 1.1: lips k <-> k + 18 for k = 4 to 21; then hands k <-> k + 21.
    lips = (*range(4), *range(22, 40), *range(4, 22))
    assert second == (*lips, *range(61, 82), *range(40, 61))
    # recognition.md 3.3, of the slots: hands h <-> h + 21; the nose is its own partner.
    assert sixth[:42] == (*range(21, 42), *range(21))
    assert sixth[93:] == (94, 93, 96, 95, 98, 97, 99)
