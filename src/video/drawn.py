"""Drawn signers: videos for anyone without a camera at hand. MediaPipe takes them for people.

    python -m src.video.drawn FOLDER          in the environment with mediapipe, for its OpenCV

It draws six signs by four signers, <signer>/<sign>/<take>.mp4. One of the signers is left-handed;
they differ in size, place, colours and pace.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 480  # of a picture, in pixels
MIDDLE = SIZE / 2
FPS = 15
FRAMES = 24  # of a clip, at a pace of 1
TAKES = 3  # of each sign by each signer
REST = (115.0, 430.0)  # where a wrist hangs: pixels outwards from the middle, and from the top
SHADE, BACKGROUND = "#be8769", "#bac4cd"
Place = tuple[float | int, float | int]  # pixels


@dataclass(frozen=True)
class Signer:
    """Who signs, and how the camera sees them."""

    name: str
    skin: str = "#e0ac8c"
    shirt: str = "#3c508c"
    hair: str = "#3c281e"
    left_handed: bool = False
    zoom: float = 1.0
    right: float = 0.0  # pixels from the middle of the picture
    pace: float = 1.0


SIGNERS = (
    Signer("ana"),
    Signer("ben", skin="#8d5a3c", shirt="#7a3b3b", hair="#1a1210", zoom=0.9, right=20.0, pace=1.2),
    Signer(
        "cleo", skin="#f0c8a8", shirt="#3f6b4f", hair="#b08040", zoom=1.05, right=-15.0, pace=0.9
    ),
    Signer("dov", shirt="#555566", hair="#777777", left_handed=True, zoom=0.95, pace=1.1),
)

# Where the signing wrist is at a time from 0 to 1.
SIGNS: dict[str, Callable[[float], Place]] = {
    "hello": lambda t: (125 + 40 * math.sin(4 * math.pi * t), 180),  # waves beside the head
    "stop": lambda t: (105, 170),  # up, and still
    "wheel": lambda t: (
        135 + 45 * math.cos(3 * math.pi * t),
        215 + 45 * math.sin(3 * math.pi * t),
    ),
    "river": lambda t: (160 - 170 * t, 270),  # across the chest
    "knock": lambda t: (120, 260 + 60 * math.cos(4 * math.pi * t)),
    "big": lambda t: (110 + 50 * t, 190),  # both hands, apart
}
BOTH_HANDS = ("big",)


def wrist(sign: str, t: float) -> Place:
    """Where the signing wrist is: up from its rest in the first fifth, down again in the last."""
    raised = min(1.0, t / 0.2, (1 - t) / 0.2)
    there = SIGNS[sign](min(max((t - 0.2) / 0.6, 0.0), 1.0))
    return tuple(rest + raised * (place - rest) for rest, place in zip(REST, there, strict=True))


def clip(sign: str, signer: Signer, take: int = 0) -> np.ndarray:
    """The pictures of one clip, (T, 480, 480, 3) uint8, red, green, blue; no two takes alike."""
    rng = np.random.default_rng([list(SIGNS).index(sign), SIGNERS.index(signer), take])
    n_frames = round(FRAMES / signer.pace * rng.uniform(0.9, 1.1))
    moved = rng.normal(0, 6, 2)
    pictures = []
    for t in np.linspace(0, 1, n_frames):
        x, y = np.array(wrist(sign, t)) + moved * min(1.0, 5 * t, 5 * (1 - t))
        other = (x, y) if sign in BOTH_HANDS else (95.0, 440.0)
        pictures.append(picture((x, y), other, signer))
    return np.stack(pictures)


def picture(right: Place, left: Place = (95.0, 440.0), signer: Signer = SIGNERS[0]) -> np.ndarray:
    """(480, 480, 3) uint8: the figure facing us, its wrists at these places.

    A left-handed signer is the mirror image of a right-handed one.
    """
    image = Image.new("RGB", (SIZE, SIZE), BACKGROUND)
    pen = ImageDraw.Draw(image)
    _body(pen, signer)
    _arm(pen, -1, right, signer)
    _arm(pen, 1, left, signer)
    _head(pen, signer)
    # Maps a place in the new picture to the place in the old one that is shown there.
    zoom = 1 / signer.zoom
    across = -zoom if signer.left_handed else zoom
    lower = SIZE * (1 - zoom)  # the lower edge stays
    affine = (across, 0, MIDDLE - across * (MIDDLE + signer.right), 0, zoom, lower)
    image = image.transform(image.size, Image.Transform.AFFINE, affine, fillcolor=BACKGROUND)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.2)))


def _body(pen: ImageDraw.ImageDraw, signer: Signer) -> None:
    outline = ((-95, 235), (-30, 205), (30, 205), (95, 235), (85, 480), (-85, 480))
    pen.polygon([(MIDDLE + x, y) for x, y in outline], signer.shirt)
    pen.rounded_rectangle([MIDDLE - 24, 175, MIDDLE + 24, 225], 8, SHADE)


def _limb(pen: ImageDraw.ImageDraw, a: Place, b: Place, width: int, colour: str) -> None:
    pen.line([a, b], colour, width)
    for x, y in (a, b):
        pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], colour)


def _arm(pen: ImageDraw.ImageDraw, side: int, place: Place, signer: Signer) -> None:
    """An arm, and a hand that points up once it is raised; side -1 is the signer's right."""
    up = min(max((REST[1] - place[1]) / 260, 0.0), 1.0)
    shoulder = (MIDDLE + 85 * side, 250)
    elbow = (MIDDLE + side * (125 + (place[0] - REST[0]) / 2), 350 - 70 * up)
    x, y = MIDDLE + side * place[0], place[1]
    _limb(pen, shoulder, elbow, 40, signer.shirt)
    _limb(pen, elbow, (x, y), 30, signer.skin)
    down = -1 if up > 0.3 else 1
    y += 20 * down
    pen.ellipse([x - 20, y - 22, x + 20, y + 22], signer.skin)
    for finger in (-22, -11, 0, 11):
        finger *= -side
        tip = (x + 1.4 * finger, y + 55 * down)
        _limb(pen, (x + finger, y + 15 * down), tip, 9, signer.skin)
    _limb(pen, (x - 12 * side, y), (x - 34 * side, y + 18 * down), 10, signer.skin)


def _head(pen: ImageDraw.ImageDraw, signer: Signer) -> None:
    pen.ellipse([MIDDLE - 62, 45, MIDDLE + 62, 200], signer.hair)
    pen.ellipse([MIDDLE - 54, 60, MIDDLE + 54, 198], signer.skin)
    pen.ellipse([MIDDLE - 56, 50, MIDDLE + 56, 100], signer.hair)
    for x in (MIDDLE - 22, MIDDLE + 22):
        pen.ellipse([x - 12, 112, x + 12, 126], "white")
        pen.ellipse([x - 5, 113, x + 5, 125], "#321e14")
        pen.line([x - 14, 103, x + 14, 103], signer.hair, 4)
    pen.line([(MIDDLE, 120), (MIDDLE - 6, 147), (MIDDLE + 6, 149)], SHADE, 4)
    pen.ellipse([MIDDLE - 22, 160, MIDDLE + 22, 176], "#be5050")
    pen.line([MIDDLE - 20, 168, MIDDLE + 20, 168], "#782828", 2)


def write(folder: Path) -> None:
    """Write the videos that are not there yet."""
    import cv2  # in the environment with mediapipe only

    for signer, sign, take in product(SIGNERS, SIGNS, range(TAKES)):
        path = folder / signer.name / sign / f"{take + 1}.mp4"
        if path.is_file():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        half_written = path.with_suffix(".part.mp4")
        code = cv2.VideoWriter_fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(half_written), code, FPS, (SIZE, SIZE))
        for each in clip(sign, signer, take):
            writer.write(np.ascontiguousarray(each[..., ::-1]))
        writer.release()
        half_written.replace(path)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
