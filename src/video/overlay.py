"""Draws the landmarks over the video in which they were found, as a GIF."""

from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from src.common.files import write_atomically
from src.landmarks import EDGES, N_LANDMARKS
from src.video.recording import Recording

COLOURS = {"face": "#d0d0d0", "left_hand": "#1f77b4", "pose": "#2ca02c", "right_hand": "#d62728"}
MOST_FPS = 15.0  # more makes the GIF larger and no clearer
LONGEST = 655_350  # milliseconds that a GIF can show a picture; equal ones in a row become one
# Pillow's own font has no accents and no other alphabets.
FONT = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 11)


def drawn(
    picture: UInt8[np.ndarray, "height width 3"],
    frame: Float[np.ndarray, f"{N_LANDMARKS} 3"],
    text: str = "",
) -> Image.Image:
    """One picture with its landmarks, left hand blue and right hand red, and a text below."""
    image = Image.fromarray(picture)
    pen, (width, height) = ImageDraw.Draw(image), image.size
    xy = frame[:, :2] * (width, height)
    for part, edges in EDGES.items():
        thick = 2 if part != "face" else 1
        for a, b in edges:
            if np.isfinite(xy[[a, b]]).all():
                pen.line([*map(float, xy[a]), *map(float, xy[b])], COLOURS[part], thick)
    if text:
        pen.rectangle([0, height - 18, width, height], "black")
        pen.text((6, height - 16), text, "white", FONT)
    return image


def write_gif(recording: Recording, path: Path, text: str = "") -> Path:
    """Write the video with its landmarks as an animation at the video's speed."""
    every = max(1, round(recording.fps / MOST_FPS))
    chosen = range(0, len(recording.xyz), every)
    images = [drawn(recording.pictures[t], recording.xyz[t], text) for t in chosen]
    # One palette for all pictures; otherwise colours would flicker.
    palette = images[len(images) // 2].quantize(128)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    duration = round(min(1000 * every / recording.fps, LONGEST / len(images)))
    options = {"save_all": True, "append_images": images[1:], "duration": duration, "loop": 0}
    return write_atomically(path, lambda temporary: images[0].save(temporary, "GIF", **options))
