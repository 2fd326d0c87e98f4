"""The environment with mediapipe: only `make video-env` installs it, never another command.

python -m src.video.environment
"""

import os
import subprocess
import sys
from pathlib import Path

from src.common import environments
from src.common.environments import Unavailable
from src.common.errors import reporting
from src.common.paths import root

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FOLDER = ".venv-video"


def interpreter() -> Path:
    """The interpreter of the environment.

    Raises:
        Unavailable: it does not exist yet, or was made from other pins.
    """
    folder = root() / FOLDER
    if not environments.mark_of(folder, REQUIREMENTS).is_finished:
        raise Unavailable(
            f"{folder}: expected the environment with mediapipe, found none with these pins; run "
            "`make video-env` (some 500 MB)"
        )
    return folder / "bin" / "python"


def quiet() -> dict[str, str]:
    """The variables of a process in the environment: little output, and no plot windows.

    Without MPLBACKEND, matplotlib would use the notebook's backend, which is not installed there.
    """
    words = {"GLOG_minloglevel": "2", "OPENCV_FFMPEG_LOGLEVEL": "-8", "MPLBACKEND": "agg"}
    return {**os.environ, **words}


def draw_videos(folder: Path) -> Path:
    """Write the videos of the drawn signers; existing ones are kept."""
    words = [interpreter(), "-m", "src.video.drawn", folder.resolve()]
    subprocess.run([*map(str, words)], check=True, cwd=root(), env=quiet())
    return folder


if __name__ == "__main__":
    with reporting():
        print(environments.make(Path(sys.executable), root() / FOLDER, REQUIREMENTS))
