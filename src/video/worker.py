"""Runs mediapipe for another process; started in the environment with mediapipe.

    python -m src.video.worker FD         the number of an open socket to the process that asks

- A request is the name of a function in REQUESTS and its arguments. An answer is True and what the
  function returns, or False and a sentence that says why not.
- Starting takes seconds, so one process answers for many videos or pictures.
- Pictures that come one by one get their landmarks in the same way as those of files.
"""

import signal
import sys
from functools import cache
from multiprocessing.connection import Connection

import cv2
import numpy as np

from src.video.holistic import Refused, Solution, check_order, landmarks, of_source


@cache
def _follower() -> Solution.Holistic:
    """The model that follows a signer through the pictures that come one by one."""
    return Solution.Holistic(model_complexity=1)


def warm_up() -> None:
    """Do in advance what would take seconds with the first picture."""
    check_order()
    landmarks(np.zeros((32, 32, 3), np.uint8), _follower())


def _decoded(jpeg: bytes) -> np.ndarray:
    """A picture, (height, width, 3) uint8 in OpenCV's blue, green, red; or `Refused`."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise Refused("expected a JPEG picture, found one that OpenCV cannot decode")
    return picture


def of_jpeg(jpeg: bytes) -> np.ndarray:
    """The landmarks in the next picture, see `holistic.landmarks` and `_decoded`."""
    return landmarks(cv2.cvtColor(_decoded(jpeg), cv2.COLOR_BGR2RGB), _follower())


def write_video(path: str, jpegs: list[bytes], fps: float) -> None:
    """Write the pictures of one clip as an mp4 file."""
    size = _decoded(jpegs[0]).shape[1::-1]
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), fps, size)
    for jpeg in jpegs:
        writer.write(cv2.resize(_decoded(jpeg), size))  # a camera that was turned changes its size
    writer.release()


REQUESTS = {f.__name__: f for f in (check_order, warm_up, of_jpeg, write_video, of_source)}


def main(fd: int) -> None:
    """Answer until the other process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    with Connection(fd) as parent:
        while True:
            try:
                name, *arguments = parent.recv()
            except EOFError:
                return
            try:
                parent.send((True, REQUESTS[name](*arguments)))
            except Refused as reason:
                parent.send((False, str(reason)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
