"""From a drawn video to landmarks and a sign; skipped without the environment with mediapipe."""

import os
import shlex
import signal
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src import landmarks as lm
from src.common.environments import Unavailable
from src.common.errors import InputError
from src.tflite.scorer import load_frames
from src.video import __main__ as command
from src.video.drawn import SIZE
from src.video.process import MediaPipe
from src.video.recording import Recording
from tests.video.conftest import FPS, FRAMES, extract

ENCODE = """
import sys, cv2, numpy as np
pictures, out, fps = np.load(sys.argv[1]), sys.argv[2], float(sys.argv[3])
size = pictures.shape[2], pictures.shape[1]
writer = cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*"FFV1"), fps, size)  # keeps every bit
for p in pictures:
    writer.write(p[..., ::-1].copy())
writer.release()
"""


def words_of(model: Path, to: Path) -> dict[str, str]:
    """`predict` with that file of our signs."""
    return {"model": str(model), "signs": str(model.parent), "to": str(to)}


def said_by(python: Path, code: str, *words: object) -> str:
    """What a program in the environment with mediapipe prints."""
    command, root = [python, "-c", code, *words], Path(__file__).parents[2]
    return subprocess.check_output([*map(str, command)], text=True, cwd=root)


def encode(python: Path, pictures: np.ndarray, path: Path) -> Path:
    np.save(path.with_suffix(".npy"), pictures)
    said_by(python, ENCODE, path.with_suffix(".npy"), path, FPS)
    return path


@pytest.fixture(scope="session")
def video(mediapipe, pictures, tmp_path_factory) -> Path:
    return encode(mediapipe, pictures, tmp_path_factory.mktemp("video") / "raise.avi")


@pytest.fixture(scope="session")
def selfie(mediapipe, pictures, video) -> Path:
    """The same video as a mirror shows it."""
    return encode(mediapipe, pictures[:, :, ::-1], video.with_name("selfie.avi"))


@pytest.fixture(scope="session")
def recording(video) -> Recording:
    return extract(video)


def test_every_frame_of_the_video_is_there(recording, pictures):
    assert recording.xyz.shape == (FRAMES, lm.N_LANDMARKS, 3)
    assert recording.fps == FPS
    assert recording.pictures.shape == (FRAMES, 360, 360, 3)
    small = np.asarray(Image.fromarray(pictures[0]).resize((360, 360), Image.Resampling.BOX))
    assert np.abs(recording.pictures[0].astype(int) - small).mean() < 2


def test_landmarks_are_where_the_figure_was_drawn(recording):
    """Face in the upper middle, shoulders left and right of it: the parts are in their rows."""
    xyz = recording.xyz
    assert np.isfinite(xyz[:, list(lm.FACE)]).all()
    face = xyz[:, list(lm.FACE), :2].mean((0, 1)) * SIZE
    np.testing.assert_allclose(face, (240, 130), atol=15)
    for landmark, x in ((lm.LEFT_SHOULDER, 325), (lm.RIGHT_SHOULDER, 155)):
        np.testing.assert_allclose(xyz[:, landmark, :2].mean(0) * SIZE, (x, 250), atol=25)


def test_left_is_the_signers_left(recording):
    """The figure's right arm goes up, on the left of the picture; the left one stays."""
    xyz = recording.xyz * SIZE
    assert xyz[0, lm.RIGHT_WRIST, 1] - xyz[-1, lm.RIGHT_WRIST, 1] > 150
    assert abs(xyz[0, lm.LEFT_WRIST, 1] - xyz[-1, lm.LEFT_WRIST, 1]) < 60
    # Where the hand itself was detected, it is at that wrist.
    seen = xyz[np.isfinite(xyz[:, lm.RIGHT_HAND[0], 0])]
    assert len(seen)
    assert np.abs(seen[:, lm.RIGHT_HAND[0], :2] - seen[:, lm.RIGHT_WRIST, :2]).max() < 60


def test_a_mirrored_video_is_turned_back_to_the_bit(selfie, recording):
    found = extract(selfie, mirrored=True)
    np.testing.assert_array_equal(found.xyz, recording.xyz)
    np.testing.assert_array_equal(found.pictures, recording.pictures)


def test_what_is_no_video_and_no_camera_is_said(mediapipe, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    old = tmp_path / os.fsdecode(b"\xff.mp4")
    old.write_text("a name in the bytes of its day, which crash OpenCV")
    for source, message in (
        (tmp_path / "none.mp4", r"none\.mp4: expected a video, found none"),
        (tmp_path / "text.mp4", r"found something that OpenCV cannot read; .*: ffmpeg -i /.*text"),
        (old, r"\\udcff\.mp4: expected a path in UTF-8, found other bytes; rename the file"),
        ("webcam:77", "webcam:77: expected a camera, found none"),
    ):
        with pytest.raises(InputError, match=message):
            extract(source)


TURNED = """
import sys, cv2
from src.video import holistic
class Phone:  # a container that says how to turn its pictures; OpenCV cannot write one
    def __init__(self, path): self.file, self.turned = Capture(path), False
    def set(self, what, value): self.turned |= what == cv2.CAP_PROP_ORIENTATION_AUTO and value == 1
    def get(self, what): return {cv2.CAP_PROP_FPS: 1000.0}.get(what, self.file.get(what))
    def isOpened(self): return True
    def release(self): pass
    def read(self):
        read, picture = self.file.read()
        return read, picture if self.turned or not read else cv2.rotate(picture, cv2.ROTATE_180)
Capture = cv2.VideoCapture
cv2.VideoCapture = Phone
pictures = list(holistic.of_file(sys.argv[1], times := []))
rows = pictures[0].mean((1, 2))
print(len(pictures), rows[:40].mean() > rows[-40:].mean(), holistic.frames_a_second(times))
"""


def test_a_phones_pictures_are_turned_and_a_wrong_rate_is_replaced(mediapipe, video):
    """The background above the figure is brighter than its shirt below; 1,000 frames a second
    are what a container says that counts in milliseconds."""
    assert said_by(mediapipe, TURNED, video).split() == ["10", "True", "10.0"]


UNKNOWN_CODEC = """
import sys, cv2
from src.video import holistic
class Undecoded:  # as OpenCV is with AV1: the container opens, and there is no picture
    def __init__(self, path): self.file = Capture(sys.argv[1])
    def isOpened(self): return True
    def set(self, what, value): pass
    def get(self, what): return float(0xFF303176)  # its last byte is no text
    def grab(self): return False
    def read(self): return False, None
Capture = cv2.VideoCapture
cv2.VideoCapture = Undecoded
try:
    next(holistic.of_file("/my videos/it's.mkv", []))
except holistic.Refused as reason:
    print(reason)
"""


def test_a_codec_that_cannot_be_decoded_is_named(mediapipe, video):
    """Its command can be copied, whatever the path."""
    said = said_by(mediapipe, UNKNOWN_CODEC, video)
    assert "(codec v10\ufffd); convert it: " in said
    words = shlex.split(said.partition("convert it: ")[2])
    assert words[:3] == ["ffmpeg", "-i", "/my videos/it's.mkv"]
    assert words[-1] == "/my videos/it's-h264.mp4"


LENGTHS = """
import sys, numpy as np
from src.video import holistic
holistic.MOST = 3
picture = np.zeros((40, 60, 3), np.uint8)
for frames in (0, 3, 4):
    try:
        print(len(holistic.extract(iter([picture] * frames), False)[0]))
    except holistic.Refused as reason:
        print(reason)
print(holistic.extract(iter([picture, picture.transpose(1, 0, 2).copy()]), False)[1].shape)
holistic.landmarks = None  # they would take minutes
try:
    holistic.of_source(sys.argv[1], False, 0.0)
except holistic.Refused as reason:
    print(reason)
"""


def test_a_video_may_have_its_most_frames_and_be_turned_on_the_way(mediapipe, video):
    """One that says itself that it has more is refused before its landmarks are looked for."""
    assert said_by(mediapipe, LENGTHS, video).splitlines() == [
        "expected a video with at least one frame, found none",
        "3",
        "expected at most 3 frames, found more; cut the video",
        "(2, 40, 60, 3)",
        "expected at most 3 frames, found more; cut the video",
    ]


POSE = """
import sys, numpy as np, numpy.ma as ma
from pose_format import Pose
from pose_format.numpy import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions
sizes = {"POSE_LANDMARKS": 33, "FACE_LANDMARKS": int(sys.argv[2]), "LEFT_HAND_LANDMARKS": 21,
         "RIGHT_HAND_LANDMARKS": 21, "POSE_WORLD_LANDMARKS": 33}
parts = [PoseHeaderComponent(name, [str(k) for k in range(n)], [], [], "XYZC")
         for name, n in sizes.items()]
n = sum(sizes.values())
width, height, fps = 100, 50, 25.0
xyz = np.arange(2 * n * 3, dtype=np.float32).reshape(2, 1, n, 3)
confidence = np.ones((2, 1, n), np.float32)
confidence[1, 0, 33 + sizes["FACE_LANDMARKS"]:][:21] = 0  # no left hand in the second frame
if sys.argv[3:]:  # landmarks of ours, in the order of these parts
    found, (width, height) = np.load(sys.argv[3]), map(int, sys.argv[4:6])
    confidence = np.isfinite(found[:, None, :, 0]).astype(np.float32)
    xyz = np.nan_to_num(found[:, None]) * np.float32([width, height, width])
    fps = float(sys.argv[6])
header = PoseHeader(0.2, PoseHeaderDimensions(width, height, width), parts)
with open(sys.argv[1], "wb") as file:
    Pose(header, NumPyPoseBody(fps, ma.masked_array(xyz), confidence)).write(file)
"""


def pose_file(
    python: Path, xyz: np.ndarray, path: Path, width: int, height: int, fps: float = 0.0
) -> Path:
    """A clip as the .pose file that MediaPipe Holistic would have made of such pictures."""
    parts = [xyz[:, lm.rows_of(p)] for p in ("pose", "face", "left_hand", "right_hand", "pose")]
    np.save(path.with_suffix(".npy"), np.concatenate(parts, 1))
    said_by(python, POSE, path, 468, path.with_suffix(".npy"), width, height, fps)
    return path


@pytest.mark.parametrize("face", [468, 478])
def test_pose_files_of_holistic_are_read(mediapipe, tmp_path, face):
    path = tmp_path / "clip.pose"
    said_by(mediapipe, POSE, path, face)
    found = extract(path)
    n = 33 + face + 21 + 21 + 33
    points = np.arange(2 * n * 3, dtype=np.float32).reshape(2, n, 3) / np.float32([100, 50, 100])
    assert found.fps == 25
    np.testing.assert_allclose(found.xyz[:, lm.rows_of("pose")], points[:, :33], rtol=1e-6)
    np.testing.assert_allclose(found.xyz[:, lm.rows_of("face")], points[:, 33:501], rtol=1e-6)
    left = slice(33 + face, 33 + face + 21)
    np.testing.assert_allclose(found.xyz[0, lm.rows_of("left_hand")], points[0, left], rtol=1e-6)
    assert np.isnan(found.xyz[1, lm.rows_of("left_hand")]).all()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"clip\.pose: expected a \.pose file, found one that can"):
        extract(path)


@pytest.mark.parametrize(
    ("frames", "y", "found"),
    [(0, 0, "at least one frame"), (5_001, 0, "at most 5,000 frames"), (2, 1e9, r"at 1e\+09")],
)
def test_a_pose_file_is_as_long_as_a_video_and_of_points(mediapipe, tmp_path, frames, y, found):
    xyz = np.zeros((frames, lm.N_LANDMARKS, 3), np.float32)
    xyz[1:2, lm.POSE[0], 1] = y
    path = pose_file(mediapipe, xyz, tmp_path / "clip.pose", 100, 50)
    with pytest.raises(InputError, match=rf"clip\.pose: expected .*{found}"):
        extract(path)


@pytest.mark.parametrize("fps", [0.0, float("inf")])
def test_a_pose_file_may_be_in_capitals_and_without_a_rate(mediapipe, made_up, tmp_path, fps):
    path = pose_file(mediapipe, made_up.xyz, tmp_path / "CLIP.POSE", 100, 50, fps)
    found = extract(path)
    np.testing.assert_allclose(found.xyz, made_up.xyz, atol=1e-6)
    assert found.fps == 30


def test_a_mirrored_pose_file_is_turned_back_as_its_video_is(
    mediapipe, selfie, recording, tmp_path
):
    """The oracle is mediapipe: what it finds in the plain video, and in the mirrored one."""
    found = extract(selfie).xyz
    path = pose_file(mediapipe, found, tmp_path / "selfie.pose", SIZE, SIZE)
    kept, turned = (extract(path, mirrored).xyz for mirrored in (False, True))
    np.testing.assert_allclose(kept, found, atol=1e-6)
    # It is not quite symmetric: a few pixels. On the wrong side it would be hundreds.
    for part in ("face", "pose", "right_hand"):
        rows = lm.rows_of(part)
        apart = np.abs(turned[:, rows, :2] - recording.xyz[:, rows, :2]) * SIZE
        assert np.nanmedian(apart) < 10, part
    raised = turned[:, :, 1] * SIZE
    assert raised[0, lm.RIGHT_WRIST] - raised[-1, lm.RIGHT_WRIST] > 150
    # The signer's left hand is what the mirror shows as a right one, and no depth is changed.
    for part, mirrored in (("left_hand", "right_hand"), ("right_hand", "left_hand")):
        expected = kept[:, lm.rows_of(mirrored)] * (-1, 1, 1) + (1, 0, 0)
        np.testing.assert_allclose(turned[:, lm.rows_of(part)], expected, atol=1e-6)


def test_the_landmarks_of_a_pose_file_are_drawn_in_its_pictures_shape(
    mediapipe, recording, file, tmp_path, capsys
):
    path = pose_file(mediapipe, recording.xyz, tmp_path / "wide.pose", 1280, 720)
    assert command.predict(str(path), **words_of(file, tmp_path)) == 0
    assert str(tmp_path / "wide.gif") in capsys.readouterr().out
    with Image.open(tmp_path / "wide.gif") as gif:
        assert gif.size == (360, 202)
        picture = np.asarray(gif.convert("RGB"))[:184]  # above the text
    ys, xs = np.nonzero(picture.any(-1))
    assert np.ptp(ys) > 100 and np.ptp(xs) > 100
    flat = pose_file(mediapipe, recording.xyz, tmp_path / "flat.pose", 0, 50)
    with pytest.raises(InputError, match=r"flat\.pose: expected picture sizes, found 0 x 50"):
        extract(flat)


def test_one_process_answers_for_many_and_its_end_is_said(mediapipe, video, recording):
    with closing(MediaPipe()) as process:
        for _ in range(2):
            again = process.recording(str(video), False)
            np.testing.assert_array_equal(again.xyz, recording.xyz)
        with pytest.raises(InputError, match="expected a video, found none"):
            process.recording("none.mp4", False)
        os.kill(process.process.pid, signal.SIGSTOP)  # in the middle of a video
        threading.Timer(0.5, os.kill, (process.process.pid, signal.SIGKILL)).start()
        with pytest.raises(
            InputError, match=r"raise\.avi: the process .* ended by signal 9; it was"
        ):
            process.recording(str(video), False)
        # One video's end is not that of the others.
        np.testing.assert_array_equal(process.recording(str(video), False).xyz, recording.xyz)


def test_who_waits_for_a_process_that_is_closed_is_told_and_none_is_started(mediapipe, video):
    process = MediaPipe()
    os.kill(process.process.pid, signal.SIGSTOP)  # in the middle of a video
    threading.Timer(0.5, process.close).start()
    with pytest.raises(Unavailable, match="was closed"):
        process.recording(str(video), False)
    assert process.process.wait(10) == -signal.SIGKILL  # and it is no other


def test_a_notebooks_backend_for_pictures_does_not_reach_mediapipe(mediapipe, video, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    assert len(extract(video).xyz) == FRAMES


WEBCAM = """
import sys, time, cv2
from src.video import holistic
Capture = cv2.VideoCapture
cv2.VideoCapture = lambda number: Capture(sys.argv[1])
print(*(len(list(holistic.of_webcam(0, False, seconds, []))) for seconds in (60.0, 0.0)))
keys, shown = iter([-1, -1, 32, -1, -1, 32]), []
cv2.waitKey = lambda milliseconds: next(keys)
cv2.imshow = lambda title, picture: shown.append(picture)
cv2.destroyAllWindows = lambda: None
holistic.os.environ["DISPLAY"] = ":0"
print(len(list(holistic.of_webcam(0, False, 0.0, []))), len(shown))
keys = iter([-1, -1, 32, -1, -1, 32])
clock = iter([100.0, 100.1, 100.2])  # of the three pictures between the keys
holistic.time.monotonic = lambda: next(clock)
holistic.extract = lambda pictures, mirrored: (len(list(pictures)), 0)
print(round(holistic.of_source("webcam:0", False, 0.0)[2], 6))
"""


def test_a_webcam_records_for_some_seconds_or_between_two_keys(mediapipe, video, monkeypatch):
    """The camera, the keys and the window are the test's: neither is here."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    said = said_by(mediapipe, WEBCAM, video)
    # All ten frames, or none; the third to the fifth picture of six that were shown.
    # And ten a second: the wait for the first does not count.
    assert said.split() == ["10", "0", "3", "6", "10.0"]


def test_the_command_takes_a_folder_and_predicts(video, recording, file, tmp_path, capsys):
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    (folder / "b.avi").symlink_to(video)
    (folder / "broken.mp4").write_text("x")
    (folder / "notes.txt").touch()
    assert command.landmarks(str(folder), to=str(out)) == 1
    said = capsys.readouterr()
    plain = "b.avi: plain picture, taken as somebody facing the signer sees it; 10 frames"
    assert plain in said.out
    assert "broken.mp4: expected a video" in said.err
    np.testing.assert_array_equal(load_frames(out / "b.parquet"), recording.xyz)
    assert [p.name for p in out.iterdir()] == ["b.parquet"]

    # A folder is predicted to its end, whatever is unreadable in it.
    (folder / "c.avi").symlink_to(video)
    assert command.predict(str(folder), **words_of(file, out)) == 1
    assert {p.name for p in out.glob("*.gif")} == {"b.gif", "c.gif"}
    capsys.readouterr()
    assert command.predict(str(video), **words_of(file, out)) == 0
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines() if "%  " in line]
    assert len(lines) == 5 and lines[0] == ["50.0%", "sign2"]
    assert (out / "raise.gif").is_file() and "raise.gif" in said
