"""Motion files of five kinds, each read into a `MotionClip` of 24 SMPL joints."""

from __future__ import annotations

from pathlib import Path

from src.motion.formats.amass import read_amass
from src.motion.formats.asfamc import read_asfamc
from src.motion.formats.bvh import read_bvh
from src.motion.formats.dip import read_dip

from src.common.errors import InputError
from src.motion.body.clip import MotionClip

SUFFIXES = (".pkl", ".npz", ".bvh", ".amc")


def read_motion(path: Path, fps: float | None = None) -> MotionClip:
    """Read one file by its suffix: .pkl (DIP), .npz (AMASS), .bvh, .amc (its .asf beside it).

    Args:
        path: the file.
        fps: frames per second, for .amc (which has no field for it) and for .npz without one.

    Raises:
        InputError: no such file, another suffix, or what the format's own reader refuses.
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
            return read_asfamc(path, fps=fps)
    raise InputError(f"{path}: expected a motion file, one of {', '.join(SUFFIXES)}")
