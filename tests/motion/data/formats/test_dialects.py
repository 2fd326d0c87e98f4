"""Skeletons of every dialect and rest pose, against forward kinematics of other code.

What is read must put every upper arm, forearm, thigh and shin where the file puts it.
"""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.kinematics import global_rotations
from src.motion.body.skeleton import JOINTS
from src.motion.data.formats.joint_names import DIALECTS, find_joints, names_of
from tests.motion.data.formats import small_bvh
from tests.motion.data.formats.small_bvh import ARMS_DOWN, LEGS_APART, T_POSE, Z_UP, tree

DOWN = (0, -1.0, 0)
IN_T_POSE = {
    f"{side}_{part}": direction
    for side, out in (("left", (1.0, 0, 0)), ("right", (-1.0, 0, 0)))
    for part, direction in (("hip", DOWN), ("knee", DOWN), ("shoulder", out), ("elbow", out))
}
RESTS = {"T-pose": T_POSE, "arms down": ARMS_DOWN, "legs apart": LEGS_APART}


def limbs_of(clip, frame):
    """Where each limb points in what was read: its global rotation times its T-pose direction."""
    world = global_rotations(torch.from_numpy(clip.rotations[frame]).double()).numpy()
    return {limb: world[JOINTS.index(limb)] @ np.array(way) for limb, way in IN_T_POSE.items()}


def assert_limbs_agree(clip, nodes, angles):
    assert len(clip) == len(angles)
    for frame in range(len(angles)):
        limbs = limbs_of(clip, frame)
        for limb, way in small_bvh.directions(nodes, angles[frame]).items():
            assert np.allclose(limbs[limb], way, atol=1e-5), (limb, frame)


@pytest.mark.parametrize("dialect", [d for d in DIALECTS if d not in ("LAFAN1", "ASF/AMC")])
@pytest.mark.parametrize("rest", list(RESTS))
def test_limbs_point_where_the_file_puts_them(tmp_path, rng, dialect, rest):
    nodes = tree(dialect, RESTS[rest])
    angles = rng.normal(0, 30, (3, len(nodes), 3))
    clip = small_bvh.read(tmp_path, small_bvh.write(nodes, angles))
    assert clip.origin.dialect == dialect
    assert {j: clip.origin.nodes[j] for *_, j in nodes} == {j: name for name, *_, j in nodes}
    assert_limbs_agree(clip, nodes, angles)


def test_an_inserted_frame_of_a_rest_pose_with_arms_down_is_no_tpose_either(tmp_path, rng):
    nodes = tree("MotionBuilder CMU BVH", ARMS_DOWN)
    angles = np.concatenate([np.zeros((1, len(nodes), 3)), rng.normal(0, 30, (2, len(nodes), 3))])
    clip = small_bvh.read(tmp_path, small_bvh.write(nodes, angles))
    assert len(clip) == 2
    assert_limbs_agree(clip, nodes, angles[1:])


def test_a_rest_pose_along_z_is_stood_up(tmp_path, rng):
    """Blender exports such files; the body's own rotations are the same as along y."""
    nodes = tree("Mixamo", Z_UP)
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # z to y, -y to z
    angles = rng.normal(0, 30, (2, len(nodes), 3))
    clip = small_bvh.read(tmp_path, small_bvh.write(nodes, angles))
    root = Rotation.from_euler("ZYX", angles[0, 0], degrees=True)
    for limb, way in small_bvh.directions(nodes, angles[0]).items():
        seen = clip.rotations[0, 0].T @ limbs_of(clip, 0)[limb]  # as the pelvis sees it
        assert np.allclose(seen, turn @ root.inv().apply(way), atol=1e-5), limb


@pytest.mark.parametrize("inserted", [True, False])
def test_lafan1_is_read_with_every_bone_along_x(tmp_path, rng, inserted):
    """Knees bend about the body's left axis and elbows forward, as in LAFAN1's recordings."""
    nodes = small_bvh.lafan_tree()
    number = {joint: n for n, (*_, joint) in enumerate(nodes)}
    stand = np.zeros((len(nodes), 3))
    stand[number["pelvis"]] = (90, 0, 90)  # hips: x up, y forward, z left
    for side, collar in (("left", (-90, -90, -90)), ("right", (-90, 90, 90))):
        stand[number[f"{side}_hip"]] = (180, 0, 180)
        stand[number[f"{side}_collar"]] = collar
    bent = stand.copy()
    bent[number["left_knee"]] = (-60, 0, 0)
    bent[number["left_elbow"]] = (-40, 0, 0)
    angles = np.stack([stand, bent, stand + rng.normal(0, 20, stand.shape)])
    angles = np.concatenate([stand[None], angles]) if inserted else angles + 1e-5
    clip, angles = small_bvh.read(tmp_path, small_bvh.write(nodes, angles)), angles[int(inserted) :]
    assert clip.origin.dialect == "LAFAN1"
    assert_limbs_agree(clip, nodes, angles)
    assert np.allclose(clip.predicted[0], np.eye(3), atol=1e-5)  # it stands in the T-pose
    vector = torch.from_numpy(clip.rotations[1])
    knee = vector[JOINTS.index("left_knee")]
    assert torch.allclose(knee @ torch.tensor([0, -1.0, 0]),
                          torch.tensor([0, -0.5, -(3**0.5) / 2]), atol=1e-5)  # fmt: skip
    elbow = vector[JOINTS.index("left_elbow")]
    assert (elbow @ torch.tensor([1.0, 0, 0]))[2] == pytest.approx(np.sin(np.radians(40)), abs=1e-5)


@pytest.mark.parametrize("prefix", ["mixamorig:", "mixamorig_", "mixamorig1:", "Model_", ""])
def test_the_prefix_of_a_character_is_left_out(tmp_path, rng, prefix):
    nodes = tree("Mixamo", prefix=prefix)
    clip = small_bvh.read(tmp_path, small_bvh.write(nodes, rng.normal(0, 9, (1, len(nodes), 3))))
    assert clip.origin.dialect == "Mixamo"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_fingers_and_toes_may_be_missing(dialect):
    ends = ("left_hand", "right_hand", "left_foot", "right_foot")
    nodes = tree(dialect, lacking=ends)
    found = find_joints([n[0] for n in nodes], [n[1] for n in nodes], "f")[1]
    assert not set(ends) & set(found)
    assert {nodes[n][3]: n for n in range(len(nodes))} == found


def test_a_missing_joint_is_named_for_the_nearest_dialect():
    nodes = tree("classic CMU BVH")
    parents = [n[1] for n in nodes]
    names = ["top" if n[3] == "head" else n[0] for n in nodes]
    with pytest.raises(InputError, match=r"f: .*classic CMU BVH, 1 are missing: Head; rename"):
        find_joints(names, parents, "f")
    with pytest.raises(InputError, match=r"f: expected the joints of a known skeleton"):
        find_joints(["a", "b"], [-1, 0], "f")


def test_the_right_names_on_another_tree_are_refused():
    nodes = tree("Mixamo")
    names = [n[0] for n in nodes]
    parents = [n[1] for n in nodes]
    parents[names.index("LeftLeg")] = names.index("Head")
    with pytest.raises(InputError, match=r"1 hang on another joint: LeftLeg not on LeftUpLeg"):
        find_joints(names, parents, "f")


def refused(tmp_path, rest, message):
    nodes = tree("Mixamo", rest)
    with pytest.raises(InputError, match=message) as caught:
        small_bvh.read(tmp_path, small_bvh.write(nodes, np.ones((1, len(nodes), 3))))
    assert "\n" not in str(caught.value)


def test_a_rest_pose_far_from_the_tpose_is_refused_in_one_line(tmp_path):
    refused(tmp_path, T_POSE | {"elbow": (-3, 0, 0)}, "left_shoulder to left_elbow 180 degrees off")
    refused(tmp_path, T_POSE | {"knee": (0, 4, 0)}, "left_hip to left_knee 180 degrees off")
    refused(tmp_path, T_POSE | {"knee": (0, 0, 0)}, "left_hip and left_knee apart")
    refused(tmp_path, T_POSE | {"hip": (0, 1, 0)}, "right_hip and left_hip apart")


def test_every_dialect_has_names_of_its_own():
    assert len({tuple(map(tuple, names_of(d).values())) for d in DIALECTS}) == len(DIALECTS)
