"""Landmarks of pictures, one after the other; runs in the environment with mediapipe.

    python -m src.video.live.worker FD         the number of an open socket to the process that asks

- A request is one byte and its data: L and a JPEG picture, or V and a video to write: a line of
  JSON {"path", "fps", "sizes"}, then the JPEG pictures of these sizes.
- An answer is + and its data, the landmarks as float32, or - and a sentence that says why not.
- The landmarks are made as those of files are, by `src.video.holistic.landmarks`.
"""

from __future__ import annotations

import json
import signal
import sys
from multiprocessing.connection import Connection

import cv2
import numpy as np

from src.video.holistic import Refused, Solution, check_order, landmarks


def decoded(jpeg: bytes) -> np.ndarray:
    """A picture, (height, width, 3) uint8 in OpenCV's blue, green, red."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise Refused("expected a JPEG picture, found one that OpenCV cannot decode")
    return picture


def write_video(data: bytes) -> None:
    """Write the pictures of one clip as an mp4 file."""
    line, _, jpegs = data.partition(b"\n")
    request = json.loads(line)
    writer, start = None, 0
    for size in request["sizes"]:
        picture = decoded(jpegs[start : start + size])
        start += size
        if writer is None:
            codec, shape = cv2.VideoWriter_fourcc(*"mp4v"), picture.shape[1::-1]
            writer = cv2.VideoWriter(request["path"], codec, request["fps"], shape)
        writer.write(cv2.resize(picture, shape))  # a camera that was turned changes its size
    writer.release()


def answer(request: bytes, holistic: Solution.Holistic) -> bytes:
    """The data of the answer.

    Raises:
        Refused: a picture cannot be decoded.
    """
    if request[:1] == b"V":
        write_video(request[1:])
        return b""
    picture = cv2.cvtColor(decoded(request[1:]), cv2.COLOR_BGR2RGB)
    return landmarks(picture, holistic).tobytes()


def main(fd: int) -> None:
    """Answer until the other process goes."""
    check_order()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this one
    with Connection(fd) as parent, Solution.Holistic(model_complexity=1) as holistic:
        landmarks(np.zeros((32, 32, 3), np.uint8), holistic)  # the first one takes seconds
        parent.send_bytes(b"+")
        while True:
            try:
                request = parent.recv_bytes()
            except EOFError:
                return
            try:
                parent.send_bytes(b"+" + answer(request, holistic))
            except Refused as reason:
                parent.send_bytes(b"-" + str(reason).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
