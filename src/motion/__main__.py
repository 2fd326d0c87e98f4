"""The command line of motion files.

python -m src.motion show FILE        prints the rate and the joints of a file, draws the body
"""

from pathlib import Path

import tyro

from src.common.errors import reporting
from src.common.files import write_atomically
from src.common.paths import anchored
from src.motion.data.formats import read_motion
from src.motion.study.show import description, picture


def show(file: tyro.conf.Positional[Path], fps: float = 0.0, to: str = "logs/motion") -> None:
    """Print what was read from a motion file, and draw its body in a few frames.

    Args:
        file: .bvh, .npz (AMASS), .pkl (DIP), or .amc with its .asf beside it.
        fps: frames per second, for files that do not state their rate; 0 for those that do.
        to: the folder for the picture.
    """
    clip = read_motion(file, fps or None)
    print(description(clip))
    figure = picture(clip)
    target = anchored(to) / f"{file.stem}.png"
    print(write_atomically(target, lambda path: figure.savefig(path, dpi=110)))


if __name__ == "__main__":
    with reporting():
        tyro.extras.subcommand_cli_from_dict({"show": show}, prog="python -m src.motion")
