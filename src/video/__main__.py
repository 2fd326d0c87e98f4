"""The command line of the videos; `make video-env` makes the environment that it needs.

python -m src.video clip.mp4                 landmarks -> input/video/clip.parquet
python -m src.video folder/                  of every video in the folder
python -m src.video webcam                   of a clip that it records
python -m src.video predict clip.mp4         landmarks, the five most likely signs, an animation
"""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from src.common.errors import InputError
from src.common.paths import SIGN_MAP, anchored
from src.dataset.competition import read_signs
from src.runs import Run
from src.video.extract import Recording, extract, name, save, videos, view
from src.video.overlay import write_gif
from src.video.predict import top


def landmarks(
    source: tyro.conf.Positional[str],
    to: str = "input/video",
    mirrored: bool = False,
    seconds: float = 3.0,
) -> int:
    """Write the landmarks of videos as clips in the competition's format.

    To name the signs as well: python -m src.video predict --help

    Args:
        source: a video, a folder of them, `webcam`, or `webcam:1`.
        to: the folder for the clips.
        mirrored: the video is a selfie view, as in a mirror; it is turned back.
        seconds: how long a webcam records where there is no display.
    """
    failed = 0
    for video in videos(source):
        try:
            print(save(_extracted(video, mirrored, seconds), anchored(to), video))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def predict(
    source: tyro.conf.Positional[str],
    run: str = "logs/sample",
    model: str = "",
    signs: str = "",
    to: str = "input/video",
    mirrored: bool = False,
    seconds: float = 3.0,
) -> int:
    """Print the five most likely signs of each video, and write an animation of its landmarks.

    Args:
        source: a video, a folder of them, `webcam`, or `webcam:1`.
        run: the run's folder, for its model.tflite and its signs.
        model: another .tflite file to use instead.
        signs: the folder with the sign map of that file.
        to: the folder for the clips and animations.
        mirrored: the video is a selfie view, as in a mirror; it is turned back.
        seconds: how long a webcam records where there is no display.
    """
    path, numbers = _model(run, model, signs)
    for video in videos(source):
        recording = _extracted(video, mirrored, seconds)
        clip = save(recording, anchored(to), video)
        best = top(path, recording.xyz, numbers)
        print("\n".join(f"{share:>7.1%}  {sign}" for sign, share in best))
        text = f"{best[0][0]} {best[0][1]:.0%}"
        print(f"{clip}\n{write_gif(recording, anchored(to) / f'{name(video)}.gif', text)}")
    return 0


def _model(run: str, model: str, signs: str) -> tuple[Path, dict[str, int]]:
    """The .tflite file, and the number of each sign in its answers."""
    if model and not signs:
        raise InputError(
            f"--signs: expected a folder, found none; name the one with the {SIGN_MAP} of {model}"
        )
    if model:
        return anchored(model), read_signs(anchored(signs))
    opened = Run.open(anchored(run))
    return opened.folder / "model.tflite", read_signs(opened.data)


def _extracted(video: str, mirrored: bool, seconds: float) -> Recording:
    recording = extract(video, mirrored, seconds)
    turned = "turned back" if mirrored else "taken as somebody facing the signer sees it"
    print(f"{video}: {view(mirrored)} picture, {turned}; {recording.missing()}")
    return recording


if __name__ == "__main__":
    try:
        words = sys.argv[1:]
        if words[:1] == ["predict"]:
            sys.exit(tyro.cli(predict, prog="python -m src.video predict", args=words[1:]))
        sys.exit(tyro.cli(landmarks, prog="python -m src.video", args=words))
    except InputError as error:
        sys.exit(f"error: {error}")
