"""AMASS, BVH and ASF/AMC, against scipy, against one another, and against the shipped corpus."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body.kinematics import global_rotations, positions
from src.motion.body.rotations import angle_between
from src.motion.body.skeleton import JOINTS, PREDICTED
from src.motion.data.corpus import evaluation_windows
from src.motion.data.formats import read_motion
from src.motion.data.formats.amass import read_amass
from src.motion.data.formats.asfamc import CMU_FPS, read_asfamc
from src.motion.data.formats.bvh import read_bvh
from src.motion.data.formats.dip import read_dip
from src.motion.data.resample import resample
from src.motion.metrics import frame_errors
from src.motion.study.bars import zero_velocity


def degrees_apart(a, b):
    """Angle per frame and joint."""
    one, other = (torch.from_numpy(rotations).double() for rotations in (a, b))
    return torch.rad2deg(angle_between(one, other)).numpy()


# --- AMASS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["mocap_framerate", "mocap_frame_rate"])
@pytest.mark.parametrize("width", [72, 156, 165])
def test_amass_is_axis_angle_under_either_spelling_of_the_rate(tmp_path, rng, key, width):
    poses = rng.normal(0, 0.4, (7, width))
    np.savez(tmp_path / "a.npz", poses=poses, **{key: np.array(100.0)})
    clip = read_motion(tmp_path / "a.npz")
    assert clip.fps == 100
    body = poses[:, :66].reshape(7, 22, 3)
    for joint in (0, 4, 21):
        expected = Rotation.from_rotvec(body[:, joint]).as_matrix()
        assert np.allclose(clip.rotations[:, joint], expected, atol=1e-6)  # kept as float32
    hand = Rotation.from_rotvec(poses[:, 66:69]).as_matrix() if width == 72 else np.eye(3)
    # SMPL-H goes on with fingers there, SMPL-X with the jaw.
    assert np.allclose(clip.rotations[:, 22], hand, atol=1e-6)


def broken_stream(poses):
    """A compressed npz of two arrays whose first bytes of data are damaged."""
    file = io.BytesIO()
    np.savez_compressed(file, poses=poses, mocap_framerate=60.0)
    whole = bytearray(file.getvalue())
    start = 30 + int.from_bytes(whole[26:28], "little") + int.from_bytes(whole[28:30], "little")
    whole[start : start + 4] = b"\xff" * 4  # no kind of block begins so
    return bytes(whole)


def refused(folder, message, name="a.npz", **arrays):
    if arrays:
        np.savez(folder / name, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        read_amass(folder / name)
    assert "\n" not in str(caught.value)


def test_amass_errors_say_what_to_do(tmp_path):
    poses, wide, nan = np.zeros((5, 72)), np.zeros((5, 135)), np.zeros((5, 72))
    nan[3, 7:9] = np.nan
    refused(tmp_path, r"a.npz: expected a positive frame rate.*give FPS", poses=poses)
    assert read_amass(tmp_path / "a.npz", fps=30.0).fps == 30
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, r"cut.npz: expected an npz", "cut.npz")
    (tmp_path / "broken.npz").write_bytes(broken_stream(poses))
    refused(tmp_path, r"broken.npz: expected an npz of arrays.*decompressing", "broken.npz")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, poses)  # one array, as .npy
    refused(tmp_path, r"one.npz: expected an npz of arrays", "one.npz")
    refused(tmp_path, "a positive frame rate.*found 0", poses=poses, mocap_framerate=0.0)
    assert read_amass(tmp_path / "a.npz", fps=30.0).fps == 30  # as the error advises
    refused(tmp_path, "expected an array 'poses'", trans=poses)
    refused(tmp_path, r"72 or 156 or 165\), found \(5, 135\)", poses=wide, mocap_framerate=60.0)
    refused(tmp_path, "numbers as 'poses', found <U3", poses=poses.astype(str).astype("U3"))
    message = r"a.npz: .*found nan in frame 3, column 7 \(2 such"
    refused(tmp_path, message, poses=nan, mocap_framerate=60.0)
    message = r"shape.npz: .*holds a person's shape, not a motion"
    refused(tmp_path, message, "shape.npz", gender="male", betas=np.zeros(16))


@pytest.mark.parametrize("name", ["a.npz", "a.pkl"])
def test_too_little_memory_is_no_damaged_file(tmp_path, monkeypatch, name):
    def full(*_, **__):
        raise MemoryError

    (tmp_path / name).write_bytes(b"anything")
    monkeypatch.setattr(np, "load", full)
    monkeypatch.setattr(Path, "read_bytes", full)
    with pytest.raises(MemoryError):
        read_motion(tmp_path / name)


def test_a_rate_may_be_an_array_of_one_value(tmp_path):
    poses, two = np.zeros((5, 165)), np.array([120.0, 60.0])
    np.savez(tmp_path / "one.npz", poses=poses, mocap_frame_rate=two[:1])
    assert read_amass(tmp_path / "one.npz").fps == 120
    message = r"a positive frame rate.*found \[120.0, 60.0\]"
    refused(tmp_path, message, poses=poses, mocap_frame_rate=two)


# --- BVH ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classic(mocap) -> Path:
    return mocap / "bvh_cmu_classic" / "01_01.bvh"


def without_tpose(path: Path, folder: Path) -> Path:
    """The same file without its first frame."""
    header, motion = path.read_text(encoding="latin1").split("Frame Time:")
    rate, _, rest = motion.split("\n", 2)
    frames = len(rest.splitlines())
    header = f"{header.split('Frames:')[0]}Frames: {frames}\nFrame Time:{rate}\n"
    target = folder / path.name
    target.write_text(header + rest)
    return target


def expmap_as_bvh(text: Path, like: Path, target: Path) -> None:
    """Write an exponential-map file of the same 38 nodes as BVH, with `like`'s hierarchy."""
    rows = np.loadtxt(text, delimiter=",")
    header = like.read_text(encoding="latin1").split("MOTION")[0]
    words = [line.split()[0] for line in header.splitlines() if line.split()]
    nodes = [word for word in words if word in ("ROOT", "JOINT", "End")]  # 38, tips included
    joints = [n for n, word in enumerate(nodes) if word != "End"]
    vectors = rows[:, 3:].reshape(len(rows), len(nodes), 3)[:, joints].reshape(-1, 3)
    matrices = Rotation.from_rotvec(vectors).as_matrix().swapaxes(1, 2)  # row-vector convention
    angles = Rotation.from_matrix(matrices).as_euler("ZYX", degrees=True).reshape(len(rows), -1)
    angles[0, np.abs(angles[0]) < 1e-9] = 0  # so that the T-pose is found as such
    frames = [" ".join(f"{v:.9f}" if v else "0" for v in row)
              for row in np.concatenate([rows[:, :3], angles], 1)]  # fmt: skip
    target.write_text(
        f"{header}MOTION\nFrames: {len(rows)}\nFrame Time: .0083333\n" + "\n".join(frames)
    )


@pytest.mark.reference
@pytest.mark.parametrize("name", ["test/walking/walking_1", "train/jumping/jumping_1"])
def test_bvh_gives_the_rotations_of_the_shipped_corpus(mocap, classic, tmp_path, name):
    """The shipped corpus was derived from the same recordings by other code (its README)."""
    expmap_as_bvh(mocap / "expmap_cmu_120fps" / f"{name}.txt", classic, tmp_path / "a.bvh")
    split, _, file = name.split("/")
    truth = read_dip(mocap / "dip_format_60fps" / split / f"{file}.pkl")
    clip = resample(read_bvh(tmp_path / "a.bvh"))
    frames = min(len(clip), len(truth))
    assert frames >= len(truth) - 1
    # Angles are printed with nine digits; float32 matrices differ by 1e-7 an entry.
    assert np.abs(clip.predicted[:frames] - truth.predicted[:frames]).max() < 1e-5


@pytest.mark.reference
@pytest.mark.parametrize(
    "file,frames",
    [("01_01", 2751), ("12_01", 523), ("02_01", 343), ("131_01", 994), ("131_03", 1102)],
)
def test_both_dialects_of_real_bvh_are_read(mocap, file, frames):
    path = mocap / "bvh_cmu_classic" / f"{file}.bvh"
    clip = read_motion(path)
    assert clip.fps == 120
    assert len(clip) == frames  # MANIFEST.csv, less the T-pose where there is one
    dialect = "MotionBuilder" if file.startswith("131") else "classic"
    assert clip.origin.dialect == f"{dialect} CMU BVH"
    # People stand on their feet: in every file the ankles are below the hips most of the time.
    points = positions(global_rotations(torch.from_numpy(clip.rotations).double()))
    ankles = points[:, [JOINTS.index("left_ankle"), JOINTS.index("right_ankle")], 1].mean(1)
    assert (ankles < -1).double().mean() > 0.9


@pytest.mark.reference
@pytest.mark.parametrize(
    "file,euler,positional",
    [("131_01", 34.232, 2.837), ("131_03", 42.304, 2.689), ("01_01", 23.852, 1.822)],
)
def test_zero_velocity_on_real_bvh_at_400_ms(mocap, file, euler, positional):
    """Arms of 131 hang down in the rest pose; read as stretched out, 131_01 gave Euler 27.7."""
    clip = resample(read_motion(mocap / "bvh_cmu_classic" / f"{file}.bvh"))
    windows = evaluation_windows([torch.from_numpy(clip.predicted)], "every 60", "test")
    errors = frame_errors(zero_velocity(windows[:, :120], 24), windows[:, 120:]).until(24)
    assert errors["euler"] == pytest.approx(euler, abs=5e-4)
    assert errors["positional"] == pytest.approx(positional, abs=5e-4)


@pytest.mark.reference
def test_the_tpose_is_made_from_the_zero_pose_where_its_frame_is_missing(classic, tmp_path):
    """Legs were turned by 17 degrees in frame 0 and are straightened by 20: 3 degrees apart."""
    first, zero = read_bvh(classic), read_bvh(without_tpose(classic, tmp_path))
    assert len(zero) == len(first)
    apart = degrees_apart(first.rotations, zero.rotations)
    assert apart[:, JOINTS.index("left_hip")].mean() == pytest.approx(3, abs=0.01)
    assert apart[:, JOINTS.index("spine2")].max() < 0.01


# --- ASF/AMC ------------------------------------------------------------------------------------


@pytest.mark.reference
def test_asfamc_agrees_with_the_same_recording_in_bvh(mocap, classic, tmp_path):
    """CMU's trial 01_01 is shipped in both forms; the BVH is printed with four decimals."""
    amc = read_motion(mocap / "asfamc_cmu" / "01_01.amc", fps=CMU_FPS)
    bvh = read_bvh(without_tpose(classic, tmp_path))
    assert amc.fps == 120 and len(amc) == len(bvh)
    apart = degrees_apart(amc.rotations, bvh.rotations)[:, list(PREDICTED)]
    assert apart.max() < 0.05  # degrees
    assert apart.mean() < 0.001


@pytest.mark.reference
def test_the_second_real_asfamc_file_is_read(mocap):
    assert len(read_asfamc(mocap / "asfamc_cmu" / "11_01.amc", fps=120.0)) == 597  # MANIFEST.csv


def test_asfamc_without_a_rate_is_refused_and_never_left_unset(tmp_path):
    """fairmotion's loader leaves the rate unset (motion.md 4, defect h)."""
    (tmp_path / "01_01.amc").write_text("")
    with pytest.raises(InputError, match=r"01_01.amc: AMC files do not hold their frame rate.*120"):
        read_motion(tmp_path / "01_01.amc")


SMALL_ASF = """:root
order TX TY TZ RX RY RZ
axis XYZ
orientation 0 0 0
:bonedata
:hierarchy
"""


@pytest.mark.parametrize("last,found", [(7, 7), (2, 2), (1, 1)])
def test_amc_frames_that_do_not_follow_one_another_are_refused(tmp_path, last, found):
    """Read as they stand, a gap is a jump of the body within a sixtieth of a second."""
    (tmp_path / "01.asf").write_text(SMALL_ASF)
    frames = (f"{number}\nroot 0 0 0 0 0 0\n" for number in (1, 2, last))
    (tmp_path / "01_01.amc").write_text("".join(frames))
    message = f"01_01.amc: expected frame 3 after frame 2, found {found}; cut the file in two"
    with pytest.raises(InputError, match=message):
        read_motion(tmp_path / "01_01.amc", fps=120.0)


@pytest.mark.reference
def test_the_skeleton_of_hdm05_has_a_longer_part_of_the_name(mocap, tmp_path):
    amc = (mocap / "asfamc_cmu" / "01_01.amc").read_text()
    (tmp_path / "HDM_bd.asf").write_bytes((mocap / "asfamc_cmu" / "01.asf").read_bytes())
    (tmp_path / "HDM_bd_01-01_01_120.amc").write_text(amc[: amc.index("\n3\n")])
    assert len(read_motion(tmp_path / "HDM_bd_01-01_01_120.amc", fps=120.0)) == 2


@pytest.mark.reference
def test_asfamc_errors_say_what_is_wrong(mocap, tmp_path):
    asf = (mocap / "asfamc_cmu" / "01.asf").read_text(encoding="latin1")
    amc = "\n".join((mocap / "asfamc_cmu" / "01_01.amc").read_text().splitlines()[:64])

    def refused(skeleton, motion, message):
        (tmp_path / "01.asf").write_text(skeleton)
        (tmp_path / "01_01.amc").write_text(motion)
        with pytest.raises(InputError, match=message):
            read_asfamc(tmp_path / "01_01.amc", fps=120.0)

    refused(asf, amc[: amc.index("lhumerus")], r"01_01.amc: frame 1 of 1: expected 3 values of 'l")
    refused(asf, "", "expected frames, found none")
    for word in ("x", "nan"):
        spoilt = amc.replace("rtibia 26.4457", f"rtibia {word}")
        refused(asf, spoilt, rf"line \d+: expected a frame's number, .*found 'rtibia {word}'")
    for word in ("nan", "0,34202"):  # half of the world writes decimals with a comma
        spoilt = asf.replace("direction 0.34202", f"direction {word}", 1)
        refused(spoilt, amc, f"without finite numbers in '{word} -0.9")
    refused(asf[: asf.index(":hierarchy")], amc, r"01.asf: expected an ASF skeleton")
    radians = r"01.asf: expected angles in degrees, found radians"
    refused(asf.replace("angle deg", "angle rad"), amc, radians)
    refused(asf, amc.replace(":DEGREES", ":RADIANS"), r"01_01.amc: .*found radians")
    refused(asf.replace("dof rx ry rz", "dof rx rx rz", 1), amc, "01.asf: .*at most three turns")
    refused(asf.replace("RX RY RZ", ""), amc, "01.asf: .*without rotations of the root")
    refused(asf.replace("    root lhip", "    roof lhip"), amc, "19 are missing: lfemur")
    refused(asf.replace("lfoot ltoes", "lfoot ltoes ltibia"), amc, "without one parent of ltibia")
    renamed = (text.replace("rradius", "rgadget") for text in (asf, amc))
    refused(*renamed, "1 are missing: rradius")
    (tmp_path / "01.asf").unlink()
    with pytest.raises(InputError, match=r"01.asf: expected a motion's .asf"):
        read_asfamc(tmp_path / "01_01.amc", fps=120.0)


def position_last(line: str) -> str:
    root, *values = line.split()
    return " ".join([root, *values[3:], *values[:3]]) if root == "root" else line


@pytest.mark.reference
@pytest.mark.parametrize(
    "what", ["capitals", "bones in any order", "position last", "a comment in UTF-8", "Windows"]
)
def test_what_programs_write_differently_in_asfamc_changes_nothing(mocap, tmp_path, what):
    asf = (mocap / "asfamc_cmu" / "01.asf").read_text(encoding="latin1")
    amc = (mocap / "asfamc_cmu" / "01_01.amc").read_text()
    amc = amc[: amc.index("\n6\n")]
    names = {"Windows": ("01.ASF", "01_01.AMC")}.get(what, ("01.asf", "01_01.amc"))

    def read(name, skeleton, motion, files=("01.asf", "01_01.amc")):
        (tmp_path / name).mkdir()
        for file, text in zip(files, (skeleton, motion), strict=True):
            (tmp_path / name / file).write_bytes(text.encode("utf-8"))
        return read_motion(tmp_path / name / files[1], fps=120.0)

    expected = read("as shipped", asf, amc)
    if what == "capitals":
        asf = asf.replace("dof rx ry rz", "dof RX RY RZ").replace("begin", "BEGIN")
    if what == "bones in any order":
        head, tree = asf.split("  begin\n    root")
        rows = f"    root{tree}".removesuffix("\n").removesuffix("  end").splitlines()
        asf = "\n".join([head + "  begin", *reversed(rows), "  end"])
    if what == "position last":
        asf = asf.replace("TX TY TZ RX RY RZ", "RX RY RZ TX TY TZ")
        amc = "\n".join(map(position_last, amc.splitlines()))
    if what == "a comment in UTF-8":
        amc = f"#!OML:ASF C:\\Åsa\\01.ASF\n{amc}"  # whose second byte is a line's end in latin1
    if what == "Windows":  # whose editors also put a mark in front
        asf, amc = ("\ufeff" + text.replace("\n", "\r\n") for text in (asf, amc))
    clip = read("changed", asf, amc, names)
    assert np.array_equal(clip.rotations, expected.rotations) and len(clip) == 5


@pytest.mark.parametrize("name", ["a.bvh", "a.amc"])
def test_a_file_that_may_not_be_opened_is_refused(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("HIERARCHY")
    (tmp_path / "a.asf").write_text(":version 1.10")

    def closed(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", closed)
    with pytest.raises(InputError, match=r"a.[a-z]{3}: expected a file to read, found Permission"):
        read_motion(tmp_path / name, fps=120.0)
