"""Landmarks of videos by MediaPipe Holistic; runs in the environment with mediapipe, see worker.py.

- Besides mediapipe, numpy, OpenCV and pose-format, this file can import only src.landmarks: torch
  is not installed there.
- Landmarks are in the competition's order, and left is the signer's left. Counts and sides are
  checked against mediapipe's own names.
- A mirrored picture (a selfie view) is turned back before anything else, so that landmarks and
  saved pictures are as somebody facing the signer sees them. In a .pose file, which has no
  pictures, the landmarks themselves are turned back.
- model_complexity is 1, because the package has the models for it; others would be downloaded.
- A webcam records one clip: space starts, space stops, q gives up. Without a display it starts at
  once and records for some seconds.
"""

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from itertools import takewhile

import cv2
import mediapipe as mp
import numpy as np
from pose_format import Pose

from src.landmarks import LEFT_SHOULDER, MIRROR, PARTS, POSE, WRIST, rows_of, undetected

LONGER_SIDE = 360  # of the saved pictures, in pixels: enough to draw landmarks on
RED = (0, 0, 255)  # OpenCV's order: blue, green, red
# What pose_format calls the parts of MediaPipe Holistic.
_COMPONENTS = {f"{part.upper()}_LANDMARKS": part for part in PARTS}
MOST = 5_000  # frames; a clip of one sign is shorter
FARTHEST = 1_000.0  # picture widths or heights from the corner; real landmarks are nearer
USUAL = 30.0  # frames a second, for a video without times
Solution = mp.solutions.holistic


class Refused(Exception):
    """A source cannot be read; the text says why."""


def landmarks(picture: np.ndarray, holistic: Solution.Holistic) -> np.ndarray:
    """The landmarks in one picture, (height, width, 3) uint8, red, green, blue.

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
    """Landmarks of every picture, (height, width, 3) uint8, and the pictures, scaled down.

    Returns:
        (T, L, 3) float32, NaN = not detected; (T, height, width, 3) uint8.
    """
    xyz, small = [], []
    with Solution.Holistic(model_complexity=1) as holistic:
        for picture in pictures:
            if mirrored:
                picture = np.ascontiguousarray(picture[:, ::-1])
            _check_length(len(xyz) + 1)
            xyz.append(landmarks(picture, holistic))
            shown = _scaled_down(picture)
            if small and shown.shape != small[0].shape:  # a camera that was turned
                shown = cv2.resize(shown, small[0].shape[1::-1])
            small.append(shown)
    _check_length(len(xyz))
    return np.stack(xyz), np.stack(small)


def _check_length(frames: int) -> None:
    if not frames:
        raise Refused("expected a video with at least one frame, found none")
    if frames > MOST:
        raise Refused(f"expected at most {MOST:,} frames, found more; cut the video")


def _scaled_down(picture: np.ndarray) -> np.ndarray:
    scale = min(1.0, LONGER_SIDE / max(picture.shape[:2]))
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _read(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """The pictures in red, green, blue, one after the other."""
    while True:
        is_read, picture = capture.read()
        if not is_read:
            return
        yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


# --- files --------------------------------------------------------------------------------------


def of_file(path: str, times: list[float]) -> Iterator[np.ndarray]:
    """The pictures of a video file, upright; the time of each, in seconds, is added to `times`.

    Raises:
        Refused: OpenCV cannot read the file or decode its codec, or it has too many frames.
    """
    if any("\ud800" <= c <= "\udfff" for c in path):  # bytes that are no text crash OpenCV
        raise Refused("expected a path in UTF-8, found other bytes; rename the file or its folder")
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise Refused(
            "expected a video, found something that OpenCV cannot read; fetch it again, or "
            f"{_conversion(path)}"
        )
    # Refuse a long video in seconds, not after minutes. Its own frame count may be wrong.
    if capture.get(cv2.CAP_PROP_FRAME_COUNT) > MOST:
        counted = cv2.VideoCapture(path)
        if all(counted.grab() for _ in range(MOST + 1)):
            _check_length(MOST + 1)
    # A phone stores turned pixels, and beside them how to turn them back.
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    for picture in _read(capture):
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        yield picture
    if not times:
        number = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        codec = number.to_bytes(4, "little").decode(errors="replace")  # it need not be text
        raise Refused(
            f"expected a video that OpenCV can decode, found no frame that it can (codec "
            f"{codec}); {_conversion(path)}"
        )
    capture.release()


def _conversion(path: str) -> str:
    words = ["-i", path, "-c:v", "libx264", f"{os.path.splitext(path)[0]}-h264.mp4"]
    return f"convert it: ffmpeg {shlex.join(words)}"


def frames_a_second(times: Sequence[float]) -> float:
    """The frame rate of pictures taken at these seconds; `USUAL` if they do not tell.

    The file's own rate is not used: some files say 1,000, because they count in milliseconds.
    """
    seconds = max(times) - times[0]
    return (len(times) - 1) / seconds if seconds > 0 else USUAL


def of_pose_file(path: str) -> tuple[np.ndarray, np.ndarray, float]:
    """The landmarks in a .pose file by MediaPipe Holistic, a picture, and the frame rate.

    Returns:
        (T, L, 3) float32, x and y in picture widths and heights, NaN = not detected; (1, height,
        width, 3) uint8, black and of the shape that the video had, to draw on.

    Raises:
        Refused: the file is damaged, or holds something else, several people, no frame or too
            many.
    """
    pose = _read_pose(path)
    # The package keeps coordinates in pixels, and a confidence of 0 where nothing was detected.
    size = pose.header.dimensions
    scale = np.array([size.width, size.height, size.width], np.float32)
    points = np.where(pose.body.confidence[:, 0, :, None] > 0, pose.body.data[:, 0, :, :3], np.nan)
    xyz = undetected(len(points))
    start = 0
    for component in pose.header.components:
        n_points = len(component.points)
        if component.name in _COMPONENTS:
            rows = xyz[:, rows_of(_COMPONENTS[component.name])]
            expected = rows.shape[1]
            if n_points < expected:
                raise Refused(f"expected {expected} points of {component.name}, found {n_points}")
            # In a face of 478 points the last ten are the irises, which are left out.
            rows[:] = points[:, start : start + expected] / scale
        start += n_points
    detected = xyz[~np.isnan(xyz).all(-1)]
    if not (np.abs(detected) <= FARTHEST).all():
        found = np.abs(detected).max()
        raise Refused(f"expected points near the picture, found one at {found:.4g}; make it again")
    fps = float(pose.body.fps)
    return xyz, _blank(size.width, size.height), fps if 0 < fps < np.inf else USUAL


def _read_pose(path: str) -> Pose:
    try:
        with open(path, "rb") as file:
            pose = Pose.read(file.read())
    except Exception as error:  # the package raises whatever the damaged bytes lead to
        raise Refused(f"expected a .pose file, found one that cannot be read: {error}") from error
    if missing := _COMPONENTS.keys() - {component.name for component in pose.header.components}:
        raise Refused(
            f"expected the parts of MediaPipe Holistic, found none named {', '.join(missing)}"
        )
    people, _, axes = pose.body.data.shape[1:]
    if people != 1:
        raise Refused(f"expected one person, found {people}")
    if axes < 3:
        raise Refused(f"expected points of x, y, z, found {axes} numbers for each; make it again")
    _check_length(len(pose.body.data))
    size = pose.header.dimensions
    if not (size.width and size.height):
        raise Refused(f"expected picture sizes, found {size.width} x {size.height}; make it again")
    return pose


def _blank(width: int, height: int) -> np.ndarray:
    """One black picture of this shape, scaled to the size of saved pictures."""
    scale = LONGER_SIDE / max(width, height)
    return np.zeros((1, *(max(1, round(side * scale)) for side in (height, width)), 3), np.uint8)


def turned_back(xyz: np.ndarray) -> np.ndarray:
    """Landmarks of mirrored pictures, (T, L, 3), as if found in the pictures turned back."""
    turned = xyz[:, MIRROR]
    turned[..., 0] = 1 - turned[..., 0]
    return turned


# --- webcam -------------------------------------------------------------------------------------


def of_webcam(
    number: int, mirrored: bool, seconds: float, times: list[float]
) -> Iterator[np.ndarray]:
    """The pictures of one recording by a webcam; the time of each, in seconds, is added to `times`.

    The wait before the first picture does not count.
    """
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise Refused(f"expected a camera, found none; try webcam:{number + 1}")
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        pictures = _between_keys(capture, mirrored)
    else:
        end = time.monotonic() + seconds
        pictures = takewhile(lambda _: time.monotonic() < end, _read(capture))
    for picture in pictures:
        times.append(time.monotonic())
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
            raise Refused("nothing was recorded")
        if key == ord(" "):
            if recording:
                break
            recording = True
        if recording:
            yield picture
    cv2.destroyAllWindows()


# --- all sources --------------------------------------------------------------------------------


def of_source(source: str, mirrored: bool, seconds: float) -> tuple[np.ndarray, np.ndarray, float]:
    """What `extract` returns for a file's absolute path or `webcam:1`, and pictures per second.

    A .pose file has a single black picture for all frames.

    Raises:
        Refused: the source cannot be read.
    """
    if source.lower().endswith(".pose"):
        xyz, picture, fps = of_pose_file(source)
        return turned_back(xyz) if mirrored else xyz, picture, fps
    times: list[float] = []
    if os.path.isabs(source):
        pictures = of_file(source, times)
    else:
        number = int(source.partition(":")[2] or 0)
        pictures = of_webcam(number, mirrored, seconds, times)
    return *extract(pictures, mirrored), frames_a_second(times)
