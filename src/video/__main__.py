"""The command line for videos; `make video-env` makes the environment that it needs.

python -m src.video clip.mp4                 landmarks -> input/video/clip.parquet
python -m src.video folder/                  of every video in the folder
python -m src.video webcam                   of a clip that it records
python -m src.video predict clip.mp4         landmarks, the five most likely signs, an animation
python -m src.video dataset VIDEOS TO        a competition folder of many videos
python -m src.video live --run logs/mine     the page with the camera, on this machine
"""

import asyncio
import shlex
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import tyro

from src.common.environments import Unavailable
from src.common.errors import InputError, reporting
from src.common.paths import SIGN_MAP, anchored
from src.dataset.competition import read_signs
from src.landmarks import undetected
from src.runs import Run
from src.tflite.scorer import Model
from src.video.collection import make_readable
from src.video.live.server import Live, serve
from src.video.overlay import write_gif
from src.video.predict import top
from src.video.process import MediaPipe
from src.video.recording import Recording, save, videos


def landmarks(
    source: tyro.conf.Positional[str],
    to: str = "input/video",
    mirrored: bool = False,
    seconds: float = 3.0,
) -> int:
    """Write the landmarks of videos as clips in the competition's format.

    More: python -m src.video predict --help; likewise dataset, live

    Args:
        source: a video, a folder of them, `webcam`, or `webcam:1`.
        to: the folder for the clips.
        mirrored: the video is a selfie view, as in a mirror; it is turned back.
        seconds: how long a webcam records where there is no display.
    """
    return _each(
        source, mirrored, seconds, lambda name, found: print(save(found, anchored(to), name))
    )


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
        signs: the folder with the sign map of the model's data; needed for `model`.
        to: the folder for the clips and animations.
        mirrored: the video is a selfie view, as in a mirror; it is turned back.
        seconds: how long a webcam records where there is no display.
    """
    file, numbers = _model(run, model, signs)

    def tell(name: str, recording: Recording) -> None:
        clip = save(recording, anchored(to), name)
        best = top(file, recording.xyz, numbers)
        print("\n".join(f"{share:>7.1%}  {sign}" for sign, share in best))
        text = f"{best[0][0]} {best[0][1]:.0%}"
        print(f"{clip}\n{write_gif(recording, anchored(to) / f'{name}.gif', text)}")

    return _each(source, mirrored, seconds, tell)


def dataset(
    source: tyro.conf.Positional[str],
    to: tyro.conf.Positional[str] = "input/mine",
    mirrored: bool = False,
    workers: int = 0,
) -> int:
    """Make a competition folder of a collection of videos; then: make submission DATA=...

    The exit code is 1 if a video could not be read; the others are in the folder.

    Args:
        source: a folder of <signer>/<sign>/<take>.mp4 or <sign>/<signer>_<take>.mp4, or a csv file
            with the columns path, signer, sign.
        to: the competition folder.
        mirrored: the videos are selfie views, as in a mirror; they are turned back.
        workers: processes; 0 = one per core.
    """
    report, failed = make_readable(Path(source), anchored(to), mirrored, workers)
    data = shlex.quote(f"DATA={to}")
    print(f"{report.read_text()}\nnext: make submission PROFILE=cpu {data} RUN_DIR=logs/mine")
    return int(bool(failed))


def live(run: str = "logs/sample", to: str = "input/mine", port: int = 8765) -> int:
    """Serve the page with the camera on this machine, and print its address.

    Args:
        run: the run's folder, for its model.tflite and its signs.
        to: the competition folder for clips that are recorded and kept.
        port: the page's port; 0 = any that is free.
    """
    model, numbers = _model(run, "", "")
    top(model, undetected(2), numbers)  # the first call is slow, and fails if the file does not fit
    with closing(MediaPipe(live=True)) as mediapipe, suppress(KeyboardInterrupt):
        page = Live(
            landmarks=mediapipe.landmarks,
            save_video=mediapipe.save_video,
            best=lambda clip: top(model, clip, numbers),
            to=anchored(to),
            title=f"{len(numbers)} signs of {run}",
        )
        asyncio.run(serve(page, port))
    return 0


def _model(run: str, model: str, signs: str) -> tuple[Model, dict[str, int]]:
    """The .tflite file, opened, and the number of each sign in its answers."""
    if model and not signs:
        raise InputError(
            f"--signs: expected a folder, found none; name the one with the {SIGN_MAP} of {model}"
        )
    if model:
        return Model(anchored(model)), read_signs(anchored(signs))
    folder = Run.open(anchored(run)).folder
    opened = Model(folder / "model.tflite")
    # The map in the data's folder may have more signs by now, such as those recorded since.
    if not signs and not (folder / SIGN_MAP).is_file():
        raise InputError(
            f"{folder}: expected the {SIGN_MAP} that 04 writes beside its model.tflite, found "
            "none; run 04 again, or name the folder of the model's data by --signs"
        )
    return opened, read_signs(anchored(signs) if signs else folder)


def _each(
    source: str, mirrored: bool, seconds: float, use: Callable[[str, Recording], None]
) -> int:
    """Call `use` for every video of a source; print errors, and return 1 if there were any."""
    failed = False
    turned = "mirrored picture, turned back"
    plain = "plain picture, taken as somebody facing the signer sees it"
    with closing(MediaPipe()) as mediapipe:
        for video, name in videos(source).items():
            try:
                recording = mediapipe.recording(video, mirrored, seconds)
                print(f"{video}: {turned if mirrored else plain}; {recording.missing()}")
                use(name, recording)
            except Unavailable:  # no other video would fare better
                raise
            except InputError as error:
                print(f"error: {error}", file=sys.stderr)
                failed = True
    return int(failed)


COMMANDS = {"predict": predict, "dataset": dataset, "live": live}

if __name__ == "__main__":
    command, prog, words = landmarks, "python -m src.video", sys.argv[1:]
    if words and words[0] in COMMANDS:
        command, prog, words = COMMANDS[words[0]], f"{prog} {words[0]}", words[1:]
    try:
        with reporting():
            sys.exit(tyro.cli(command, prog=prog, args=words))
    except KeyboardInterrupt:
        print("\ninterrupted; `dataset` goes on from the clips that it has", file=sys.stderr)
        sys.exit(130)
