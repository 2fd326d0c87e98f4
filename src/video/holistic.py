"""Video -> landmarks by MediaPipe Holistic. Runs in the environment with mediapipe, on numpy alone.

    python -m src.video.holistic clip.mp4 out.npz plain
    python -m src.video.holistic webcam:0 out.npz mirrored 3

- The answer is in the competition's order and sides, which are checked against mediapipe's own
  names: face, left hand, pose, right hand; left is the signer's left.
- A mirrored picture (a selfie view) is turned back first: everything, the pictures that are kept
  included, is as somebody facing the signer sees it.
- model_complexity 1 is the one whose models are in the package; 0 and 2 would be downloaded.
- A webcam is recorded clip by clip: space starts, space ends, q gives up. Without a display it
  records for some seconds at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import cv2
import mediapipe as mp
import numpy as np

from src.landmarks import LEFT_SHOULDER, N_LANDMARKS, PARTS, POSE, WRIST

KEPT = 360  # pixels of the longer side of the pictures that are kept, to draw on
BRIGHT = 255
MOST = 5_000  # frames; more is no clip of one sign
Solution = mp.solutions.holistic


def landmarks(picture: np.ndarray, holistic: Solution.Holistic) -> np.ndarray:
    """One picture's landmarks.

    Args:
        picture: (height, width, 3) uint8, red, green, blue.
        holistic: keeps track from picture to picture.

    Returns:
        (543, 3) float32: x right, y down, in picture widths and heights; z as mediapipe gives it;
        NaN = not detected.
    """
    found = holistic.process(picture)
    rows = []
    for part, size in PARTS.items():
        detected = getattr(found, f"{part}_landmarks")
        if detected is None:
            rows.append(np.full((size, 3), np.nan))
            continue
        points = [(point.x, point.y, point.z) for point in detected.landmark]
        assert len(points) == size, (
            f"{part}: expected {size} landmarks, mediapipe has {len(points)}"
        )
        rows.append(np.array(points))
    return np.concatenate(rows).astype(np.float32)


def check_order() -> None:
    """The rows that this project reads are those that mediapipe means by them."""
    assert list(PARTS) == ["face", "left_hand", "pose", "right_hand"]
    assert sum(PARTS.values()) == N_LANDMARKS
    assert PARTS["face"] == mp.solutions.face_mesh.FACEMESH_NUM_LANDMARKS
    assert PARTS["pose"] == len(Solution.PoseLandmark)
    assert PARTS["left_hand"] == PARTS["right_hand"] == len(Solution.HandLandmark)
    assert LEFT_SHOULDER - POSE[0] == Solution.PoseLandmark.LEFT_SHOULDER
    assert WRIST == Solution.HandLandmark.WRIST


def extract(pictures: Iterator[np.ndarray], mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of every picture, and the pictures, small.

    Args:
        pictures: (height, width, 3) uint8 each.
        mirrored: whether they are as a mirror shows the signer.

    Returns:
        (T, 543, 3) float32, NaN = not detected; (T, h, w, 3) uint8.
    """
    xyz, kept = [], []
    with Solution.Holistic(model_complexity=1) as holistic:
        for picture in pictures:
            if mirrored:
                picture = np.ascontiguousarray(picture[:, ::-1])
            xyz.append(landmarks(picture, holistic))
            kept.append(_small(picture))
            if len(xyz) == MOST:
                sys.exit(f"error: expected at most {MOST} frames, found more; cut the video")
    if not xyz:
        sys.exit("error: expected a video with at least one frame, found none")
    return np.stack(xyz), np.stack(kept)


def _small(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    share = min(1.0, KEPT / max(height, width))
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def of_file(path: str) -> tuple[Iterator[np.ndarray], float]:
    """The pictures of a video file, and how many there are a second."""
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        sys.exit(f"error: {path}: expected a video, found something that OpenCV cannot read")
    return _read(capture), capture.get(cv2.CAP_PROP_FPS) or 30.0


def _read(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        there, picture = capture.read()
        if not there:
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
        # People expect a mirror when they see themselves; what is kept stays as it is.
        shown = cv2.cvtColor(picture if mirrored else picture[:, ::-1], cv2.COLOR_RGB2BGR)
        text = "space: stop" if recording else "space: record, q: quit"
        cv2.putText(shown, text, (12, 32), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, BRIGHT), 2)
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
        xyz, kept = extract(of_webcam(number, mirrored, float(seconds)), mirrored)
        fps = len(xyz) / (time.monotonic() - started)
    else:
        pictures, fps = of_file(source)
        xyz, kept = extract(pictures, mirrored)
    np.savez(out, xyz=xyz, pictures=kept, fps=np.array(fps))


if __name__ == "__main__":
    main(*sys.argv[1:])
