"""A drawn figure that MediaPipe takes for a person: face, shoulders, arms, hands."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 480
SKIN, SHADE, SHIRT, HAIR = "#e0ac8c", "#be8769", "#3c508c", "#3c281e"


def picture(up: float) -> np.ndarray:
    """(480, 480, 3) uint8: the figure facing us, its right arm (left for us) raised by 0 to 1."""
    image = Image.new("RGB", (SIZE, SIZE), "#bac4cd")
    pen = ImageDraw.Draw(image)
    _body(pen)
    wrist = (SIZE / 2 - 115 + 10 * up, 430 - 260 * up)
    _arm(pen, (SIZE / 2 - 85, 250), (SIZE / 2 - 125, 330 - 60 * up), wrist, -1 if up > 0.5 else 1)
    _arm(pen, (SIZE / 2 + 85, 250), (SIZE / 2 + 115, 350), (SIZE / 2 + 95, 440), 1)
    _head(pen)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.2)))


def _body(pen: ImageDraw.ImageDraw) -> None:
    middle = SIZE / 2
    outline = ((-95, 235), (-30, 205), (30, 205), (95, 235), (85, 480), (-85, 480))
    pen.polygon([(middle + x, y) for x, y in outline], SHIRT)
    pen.rounded_rectangle([middle - 24, 175, middle + 24, 225], 8, SHADE)


def _limb(pen: ImageDraw.ImageDraw, a, b, width: float, colour: str) -> None:
    pen.line([a, b], colour, round(width))
    for x, y in (a, b):
        pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], colour)


def _arm(pen: ImageDraw.ImageDraw, shoulder, elbow, wrist, down: int) -> None:
    """An arm, and a hand that points up or down."""
    _limb(pen, shoulder, elbow, 40, SHIRT)
    _limb(pen, elbow, wrist, 30, SKIN)
    x, y = wrist[0], wrist[1] + 20 * down
    pen.ellipse([x - 20, y - 22, x + 20, y + 22], SKIN)
    for side in (-22, -11, 0, 11):
        _limb(pen, (x + side, y + 15 * down), (x + 1.4 * side, y + 55 * down), 9, SKIN)
    _limb(pen, (x + 12, y), (x + 34, y + 18 * down), 10, SKIN)


def _head(pen: ImageDraw.ImageDraw) -> None:
    middle = SIZE / 2
    pen.ellipse([middle - 62, 45, middle + 62, 200], HAIR)
    pen.ellipse([middle - 54, 60, middle + 54, 198], SKIN)
    pen.ellipse([middle - 56, 50, middle + 56, 100], HAIR)
    for x in (middle - 22, middle + 22):
        pen.ellipse([x - 12, 112, x + 12, 126], "white")
        pen.ellipse([x - 5, 113, x + 5, 125], "#321e14")
        pen.line([x - 14, 103, x + 14, 103], HAIR, 4)
    pen.line([(middle, 120), (middle - 6, 147), (middle + 6, 149)], SHADE, 4)
    pen.ellipse([middle - 22, 160, middle + 22, 176], "#be5050")
    pen.line([middle - 20, 168, middle + 20, 168], "#782828", 2)
