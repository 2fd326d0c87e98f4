"""The command that shows what was read from a file."""

import subprocess
import sys

import numpy as np
from PIL import Image

from src.motion.data.formats import read_motion
from src.motion.study.show import description, picture
from tests.motion.data.formats.small_bvh import ARMS_DOWN, tree, write


def bvh(folder, rng):
    nodes = tree("MotionBuilder CMU BVH", ARMS_DOWN, lacking=("left_hand",))
    (folder / "walk.bvh").write_text(write(nodes, rng.normal(0, 20, (9, len(nodes), 3))))
    return folder / "walk.bvh"


def test_rate_joints_and_what_was_mapped_to_what_are_told(tmp_path, rng):
    lines = description(read_motion(bvh(tmp_path, rng))).splitlines()
    assert lines[0] == "walk: 9 frames at 100 Hz, 0.09 s"
    assert lines[1] == "skeleton: MotionBuilder CMU BVH, 23 of 24 joints"
    assert "* left_shoulder   LeftShoulder  rest pose turned by 90 degrees" in lines
    assert "* left_hip        LeftHip" in lines
    assert "  left_hand       (none: turns with the joint above)  rest pose" in "\n".join(lines)
    assert len(lines) == 26


def test_joints_of_smpl_itself_need_no_map(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.zeros((5, 72)), mocap_framerate=60.0)
    assert description(read_motion(tmp_path / "a.npz")).endswith("nothing was mapped or turned")


def test_the_picture_has_a_few_frames_from_the_first_to_the_last(tmp_path, rng):
    figure = picture(read_motion(bvh(tmp_path, rng)))
    titles = [ax.get_title() for ax in figure.axes[:6]]
    assert titles == ["0 ms", "10 ms", "30 ms", "40 ms", "60 ms", "80 ms"]


def test_the_command_prints_and_draws_or_says_in_one_line_why_not(tmp_path, rng):
    path = bvh(tmp_path, rng)
    command = [sys.executable, "-m", "src.motion", "show", str(path), "--to", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "9 frames at 100 Hz" in done.stdout
    with Image.open(tmp_path / "walk.png") as image:
        assert image.width > 600
    path.write_text("nothing")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    why = "expected a MOTION section, found none; it is truncated, or not BVH"
    assert done.stderr == f"error: {path}: {why}\n"
