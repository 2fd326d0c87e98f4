"""The command line.

python -m src.kaggle download                              the competition -> input/asl-signs
python -m src.kaggle build --run logs/full --user NAME     a run -> logs/full/kaggle/
python -m src.kaggle environment                           .venv-kaggle, for the tests
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from src.common import environments
from src.common.errors import reporting
from src.common.paths import anchored
from src.kaggle import build as builder
from src.kaggle import download as downloader
from src.runs import Run


def build(
    run: str, user: str, profile: str = "full", recipes: str = "", overrides: str = ""
) -> None:
    """Write a run as a dataset and three kernels, and print the commands that upload them.

    Args:
        run: the run's folder.
        user: your name in https://www.kaggle.com/NAME.
        profile: the profile of the kernel that trains.
        recipes: the recipes that this kernel trains; empty: the run's.
        overrides: values of these recipes to change, such as "--epochs 30".
    """
    print(builder.build(Run.open(anchored(run)), user, profile, recipes, overrides))


def download(to: str = "input/asl-signs") -> None:
    """Download the competition's data with the command `kaggle`, and unpack them.

    Args:
        to: the folder for the competition.
    """
    print(downloader.download(anchored(to)))


def environment() -> None:
    """Make .venv-kaggle for the tests: Python 3.12, and packages as old as Kaggle's image."""
    requirements = Path(__file__).with_name("image-requirements.txt")
    python = environments.find_python("3.12")
    print(environments.make(python, anchored(".venv-kaggle"), requirements))


def main(words: Sequence[str]) -> None:
    """Run the command that these words spell."""
    joined: list[str] = []
    for word in words:
        if joined[-1:] == ["--overrides"]:  # tyro would mistake the flags in its value for ours
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    commands = {"build": build, "download": download, "environment": environment}
    tyro.extras.subcommand_cli_from_dict(commands, args=joined)


if __name__ == "__main__":
    with reporting():
        main(sys.argv[1:])
