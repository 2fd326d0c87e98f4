"""Motion files of four kinds, each read into a `MotionClip` of 24 SMPL joints."""

from pathlib import Path

from src.common.errors import InputError
from src.motion.body.clip import MotionClip
from src.motion.data.formats.amass import read_amass
from src.motion.data.formats.asfamc import read_asfamc
from src.motion.data.formats.bvh import read_bvh
from src.motion.data.formats.dip import read_dip

SUFFIXES = (".pkl", ".npz", ".bvh", ".amc")


def read_motion(path: Path, fps: float | None = None) -> MotionClip:
    """Read one file by its suffix: .pkl (DIP), .npz (AMASS), .bvh, .amc (with its .asf beside it).

    `fps` is the frame rate of .amc files, which have no field for it, and of .npz files that do not
    state theirs.

    Raises:
        InputError: the file is missing, has another suffix, or is refused by its format's reader.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    match path.suffix.lower():
        case ".pkl":
            return read_dip(path)
        case ".npz":
            return read_amass(path, fps)
        case ".bvh":
            return read_bvh(path)
        case ".amc":
            return read_asfamc(path, fps)
    raise InputError(f"{path}: expected a motion file, one of {', '.join(SUFFIXES)}")
