"""BVH as various programs write it: read, or refused in one line."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.data.formats.bvh import read_bvh
from tests.motion.data.formats.small_bvh import tree, write


@pytest.fixture
def nodes():
    return tree("classic CMU BVH")


@pytest.fixture
def angles(nodes, rng):
    return rng.normal(0, 20, (3, len(nodes), 3))


@pytest.fixture
def good(nodes, angles):
    return write(nodes, angles)


def read(tmp_path, text):
    (tmp_path / "a.bvh").write_text(text)
    return read_bvh(tmp_path / "a.bvh")


@pytest.mark.parametrize("order", ["ZYX", "XYZ", "ZXY", "YXZ"])
def test_every_channel_order_is_the_product_in_file_order(tmp_path, nodes, angles, order):
    clip = read(tmp_path, write(nodes, angles, order))
    turns = [
        Rotation.from_euler(axis.lower(), degrees, degrees=True)
        for axis, degrees in zip(order, angles[0, 0], strict=True)
    ]
    expected = turns[0] * turns[1] * turns[2]
    assert np.allclose(clip.rotations[0, 0], expected.as_matrix(), atol=1e-6)


def changed(text, what):
    """One way in which programs differ."""
    last = text.rstrip().rindex("\n")
    match what:
        case "capitals":
            return text.replace("rotation", "ROTATION").replace("End Site", "END SITE")
        case "camel":
            return text.replace("rotation", "Rotation")
        case "lower case":
            return text.replace("Zrotation", "zrotation").replace("End Site", "End site")
        case "blank lines":
            return text.replace("MOTION\n", "MOTION\n\n").replace("0.01\n", "0.01\n\n")
        case "one frame more than stated":
            return text.replace("Frames: 3", "Frames: 2")
        case "one frame fewer than stated":
            return text.replace("Frames: 3", "Frames: 4")
        case "milliseconds":
            return text.replace("Time: 0.01", "Time: 10.0")
        case "Windows":
            return text.replace("\n", "\r\n")
        case "last line twice blank":
            return text[:last] + text[last:] + "\n\n"
    raise AssertionError(what)


@pytest.mark.parametrize(
    "what",
    [
        *("capitals", "camel", "lower case", "blank lines", "one frame more than stated"),
        *("one frame fewer than stated", "milliseconds", "Windows", "last line twice blank"),
    ],
)
def test_what_programs_do_differently_changes_nothing(tmp_path, good, what):
    expected = read(tmp_path, good)
    assert changed(good, what) != good
    clip = read(tmp_path, changed(good, what))
    assert clip.fps == expected.fps == 100
    assert np.array_equal(clip.rotations, expected.rotations)
    assert not np.allclose(clip.rotations[0], clip.rotations[1], atol=0.1)  # it moves


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, good):
    def refused(text, message):
        assert text != good
        with pytest.raises(InputError, match=r"a.bvh.*" + message) as caught:
            read(tmp_path, text)
        assert "\n" not in str(caught.value)

    lines = good.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    number = lines[first].split()[4]
    refused(good.replace(number, "nan"), rf"line {first + 1}: .*value 5 is nan")
    refused(good.replace(number, "inf"), rf"line {first + 1}: .*value 5 is inf")
    refused(good.replace(number, "x"), rf"line {first + 1}: expected numbers")
    refused("\n".join(lines[:first]), rf"line {first}: expected frames after 'Frame Time: 0.01'")
    refused("\n".join(lines[: first + 1]), "expected 3 frames of 72 values, found 1")
    refused(good.rstrip()[:-20], "expected 3 frames of 72 values, found 2")
    refused(good[: good.index("MOTION")], "expected a MOTION section")
    refused(good.replace("Time: 0.01", "Time: 0"), "expected a positive Frame Time")
    refused(good.replace("Frame Time: 0.01", ""), "expected MOTION to begin with 'Frames:'")
    refused(good.replace("CHANNELS 3", "CHANNELS 6", 1), "line 5: .*as many names of channels")
    refused(good.replace("Zrotation", "Wrotation", 1), "line 5: .*such as.*not wrotation")
    refused(good.replace("OFFSET 0", "OFFSET one", 1), "line 4: .*could not convert")
    refused(good.replace("OFFSET 0.000000", "OFFSET nan", 1), "line 4: .*three finite numbers")


def test_a_tpose_alone_is_no_motion(tmp_path, nodes):
    with pytest.raises(
        InputError, match=r"a.bvh: expected frames of motion, found the T-pose alone"
    ):
        read(tmp_path, write(nodes, np.zeros((1, len(nodes), 3))))
