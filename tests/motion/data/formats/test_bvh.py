"""BVH as various programs write it: read, or refused in one line."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from tests.motion.data.formats.small_bvh import read, tree, write


@pytest.fixture
def nodes():
    return tree("classic CMU BVH")


@pytest.fixture
def angles(nodes, rng):
    return rng.normal(0, 20, (3, len(nodes), 3))


@pytest.fixture
def good(nodes, angles):
    return write(nodes, angles)


@pytest.mark.parametrize("order", ["ZYX", "XYZ", "ZXY", "YXZ"])
def test_every_channel_order_is_the_product_in_file_order(tmp_path, nodes, angles, order):
    clip = read(tmp_path, write(nodes, angles, order))
    turns = [
        Rotation.from_euler(axis.lower(), degrees, degrees=True)
        for axis, degrees in zip(order, angles[0, 0], strict=True)
    ]
    expected = turns[0] * turns[1] * turns[2]
    assert np.allclose(clip.rotations[0, 0], expected.as_matrix(), atol=1e-6)


DIFFERENCES = {  # of programs: what each writes in place of what
    "capitals": {"rotation": "ROTATION", "End Site": "END SITE"},
    "camel": {"rotation": "Rotation"},
    "lower case": {"Zrotation": "zrotation", "End Site": "End site"},
    "blank lines": {"MOTION\n": "MOTION\n\n", "0.01\n": "0.01\n\n"},
    "one frame more than stated": {"Frames: 3": "Frames: 2"},
    "one frame fewer than stated": {"Frames: 3": "Frames: 4"},
    "milliseconds": {"Time: 0.01": "Time: 10.0"},
    "Windows": {"\n": "\r\n"},
    "tabs": {" ": "\t"},
    "braces behind names": {"\n{": " {", "\n  {": "{"},
}


@pytest.mark.parametrize("what", [*DIFFERENCES, "blank lines at the end"])
def test_what_programs_do_differently_changes_nothing(tmp_path, good, what):
    changed = good if what in DIFFERENCES else good + "\n\n"
    for old, new in DIFFERENCES.get(what, {}).items():
        changed = changed.replace(old, new)
    assert changed != good
    expected, clip = read(tmp_path, good), read(tmp_path, changed)
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
    rate = "found 120, which may be .* or frames a second; if the latter, write 0.00833333"
    refused(good.replace("Time: 0.01", "Time: 120"), rate)
    refused(good.replace("Time: 0.01", "Time: 200"), "found 200, which may be .* write 0.005")
    refused(good.replace("Time: 0.01", "Time: 30.0"), "found 30, which may be .* write 0.0333333")
    refused(good.replace("Frame Time: 0.01", ""), "expected MOTION to begin with 'Frames:'")
    refused(good.replace("CHANNELS 3", "CHANNELS 6", 1), "line 5: .*as many channel names")
    refused(good.replace("Zrotation", "Wrotation", 1), "line 5: .*such as.*not wrotation")
    message = "line 5: .*at most three rotations, none about the axis"
    refused(good.replace("Yrotation", "Zrotation", 1), message)
    refused(good.replace("CHANNELS 3", "CHANNELS 4 Xrotation", 1), message)
    refused(good.replace("OFFSET 0", "OFFSET one", 1), "line 4: .*could not convert")
    refused(good.replace("CHANNELS 3", "CHANNELS", 1), "line 5: .*as many channel names")
    refused(good.replace("  }\n", "", 1), "expected as many } as {, found 1 fewer")
    refused(good.replace("MOTION", "}\nMOTION"), r"line \d+: '}': expected as many } as {")
    refused(good.replace("MOTION", "ROOT Hips\n{\nMOTION"), "found a second body; save each by")
    refused(good.replace("OFFSET 0.000000", "OFFSET nan", 1), "line 4: .*three finite numbers")


def test_a_tpose_alone_is_no_motion(tmp_path, nodes):
    message = r"a.bvh: expected frames of motion, found the T-pose alone"
    with pytest.raises(InputError, match=message):
        read(tmp_path, write(nodes, np.zeros((1, len(nodes), 3))))


def test_nodes_that_never_turn_make_no_tpose_of_the_first_frame(tmp_path, nodes, angles):
    """A face without capture is 0 in every frame: four angles in five of all that a file has."""
    head = next(n for n, node in enumerate(nodes) if node[3] == "head")
    face = [(f"face{n}", head, (0, 0.01, 0), "face") for n in range(5 * len(nodes))]
    still = np.zeros((len(angles), len(face), 3))
    expected = read(tmp_path, write(nodes, angles))
    clip = read(tmp_path, write([*nodes, *face], np.concatenate([angles, still], 1)))
    assert len(clip) == len(angles) and np.allclose(clip.rotations, expected.rotations, atol=1e-6)


@pytest.mark.parametrize(("largest", "told"), [(6.2, True), (6.4, False)])
def test_angles_that_may_be_in_radians_are_told_in_one_line(
    tmp_path, capsys, nodes, angles, largest, told
):
    """Read as degrees, a whole turn in radians is a body that hardly moves."""
    clip = read(tmp_path, write(nodes, angles * largest / np.abs(angles).max()))
    assert len(clip) == len(angles)
    news = capsys.readouterr().out
    assert news.count("\n") == told
    assert ("a.bvh: expected angles in degrees, found none beyond 6.2" in news) == told
