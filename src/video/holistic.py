"""Landmarks of a video by MediaPipe Holistic; runs in the environment with mediapipe.

    python -m src.video.holistic clip.mp4 out.npz plain
    python -m src.video.holistic webcam:0 out.npz mirrored 3

- Beside mediapipe, numpy and OpenCV it can import src.landmarks only: torch is not installed there.
- Landmarks are in the competition's order, and left is the signer's left. Counts and sides are
  checked against mediapipe's own names.
- A mirrored picture (a selfie view) is turned back before anything else, so that landmarks and
  saved pictures are as somebody facing the signer sees them.
- model_complexity is 1, because only its models are in the package; others would be downloaded.
- A webcam records one clip: space starts, space stops, q gives up. Without a display it starts at
  once and records for some seconds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import cv2
import mediapipe as mp
import numpy as np

from src.landmarks import LEFT_SHOULDER, PARTS, POSE, WRIST, rows_of, undetected

LONGER_SIDE = 360  # of the saved pictures, in pixels: enough to draw landmarks on
RED = (0, 0, 255)  # OpenCV's order: blue, green, red
MOST = 5_000  # frames; a clip of one sign is shorter
Solution = mp.solutions.holistic


def landmarks(picture: np.ndarray, holistic: Solution.Holistic) -> np.ndarray:
    """One picture's landmarks.

    Args:
        picture: (height, width, 3) uint8, red, green, blue.
        holistic: follows the signer from picture to picture.

    Returns:
        (L, 3) float32, all landmarks of a frame: x right, y down, in picture widths and heights; z
        as mediapipe gives it; NaN = not detected.
    """
    found = holistic.process(picture)
    (frame,) = undetected(1)
    for part in PARTS:
        detected = getattr(found, f"{part}_landmarks")
        if detected is not None:
            frame[rows_of(part)] = [(point.x, point.y, point.z) for point in detected.landmark]
    return frame


def check_order() -> None:
    """Check that this project and mediapipe mean the same points by the same numbers."""
    assert PARTS["face"] == mp.solutions.face_mesh.FACEMESH_NUM_LANDMARKS
    assert PARTS["pose"] == len(Solution.PoseLandmark)
    assert PARTS["left_hand"] == PARTS["right_hand"] == len(Solution.HandLandmark)
    assert POSE.index(LEFT_SHOULDER) == Solution.PoseLandmark.LEFT_SHOULDER
    assert WRIST == Solution.HandLandmark.WRIST


def extract(pictures: Iterator[np.ndarray], mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of every picture, and the pictures, scaled down.

    Args:
        pictures: (height, width, 3) uint8 each.
        mirrored: True if they show the signer as a mirror does.

    Returns:
        (T, L, 3) float32, NaN = not detected; (T, height, width, 3) uint8.
    """
    xyz, small = [], []
    with Solution.Holistic(model_complexity=1) as holistic:
        for picture in pictures:
            if mirrored:
                picture = np.ascontiguousarray(picture[:, ::-1])
            xyz.append(landmarks(picture, holistic))
            small.append(_scaled_down(picture))
            if len(xyz) == MOST:
                sys.exit(f"error: expected at most {MOST} frames, found more; cut the video")
    if not xyz:
        sys.exit("error: expected a video with at least one frame, found none")
    return np.stack(xyz), np.stack(small)


def _scaled_down(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(1.0, LONGER_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def of_file(path: str) -> tuple[Iterator[np.ndarray], float]:
    """The pictures of a video file, and how many there are per second."""
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        sys.exit(f"error: {path}: expected a video, found something that OpenCV cannot read")
    return _read(capture), capture.get(cv2.CAP_PROP_FPS) or 30.0


def _read(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        is_read, picture = capture.read()
        if not is_read:
            capture.release()
            return
        yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def of_webcam(number: int, mirrored: bool, seconds: float) -> Iterator[np.ndarray]:
    """The pictures of one recording by a webcam."""
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        sys.exit(f"error: webcam:{number}: expected a camera, found none; try webcam:{number + 1}")
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        yield from _between_keys(capture, mirrored)
    else:
        end = time.monotonic() + seconds
        for picture in _read(capture):
            if time.monotonic() >= end:
                break
            yield picture
        capture.release()


def _between_keys(capture: cv2.VideoCapture, mirrored: bool) -> Iterator[np.ndarray]:
    recording = False
    for picture in _read(capture):
        # People expect to see themselves as in a mirror; the recorded picture stays as it is.
        shown = cv2.cvtColor(picture if mirrored else picture[:, ::-1], cv2.COLOR_RGB2BGR)
        text = "space: stop" if recording else "space: record, q: quit"
        cv2.putText(shown, text, (12, 32), cv2.FONT_HERSHEY_SIMPLEX, 0.9, RED, 2)
        cv2.imshow("sign", shown)
        key = cv2.waitKey(1) & 0xFF
        if key == ord("q"):
            sys.exit("error: nothing was recorded")
        if key == ord(" "):
            if recording:
                break
            recording = True
        if recording:
            yield picture
    capture.release()
    cv2.destroyAllWindows()


def main(source: str, out: str, view: str, seconds: str = "3") -> None:
    """Write xyz, pictures and fps as an .npz file."""
    check_order()
    mirrored = {"plain": False, "mirrored": True}[view]
    started = time.monotonic()
    if source.startswith("webcam"):
        number = int(source.partition(":")[2] or 0)
        xyz, small = extract(of_webcam(number, mirrored, float(seconds)), mirrored)
        fps = len(xyz) / (time.monotonic() - started)
    else:
        pictures, fps = of_file(source)
        xyz, small = extract(pictures, mirrored)
    np.savez(out, xyz=xyz, pictures=small, fps=np.array(fps))


if __name__ == "__main__":
    main(*sys.argv[1:])
