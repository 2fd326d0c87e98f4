"""A motion file in words and as a picture, to check by eye what was read from it."""

import numpy as np
import torch
from matplotlib.figure import Figure

from src.motion.body.clip import MotionClip
from src.motion.body.kinematics import global_rotations, positions
from src.motion.body.skeleton import JOINTS, PREDICTED_NAMES
from src.motion.study import bodies

DRAWN = 6  # frames in the picture, evenly spread from the first to the last


def description(clip: MotionClip) -> str:
    """Frames, rate, and for each SMPL joint the file's joint and how far its rest pose was turned.

    The fifteen joints that are forecast are marked with a star.
    """
    lines = [f"{clip.name}: {len(clip)} frames at {clip.fps:g} Hz, {len(clip) / clip.fps:.2f} s"]
    if clip.origin is None:
        return "\n".join([*lines, "skeleton: SMPL's own joints; nothing was mapped or turned"])
    mapped, turned = clip.origin.nodes, clip.origin.turned
    lines.append(f"skeleton: {clip.origin.dialect}, {len(mapped)} of {len(JOINTS)} joints")
    for joint in JOINTS:
        star = "*" if joint in PREDICTED_NAMES else " "
        node = mapped.get(joint, "(none: turns with the joint above)")
        note = f"  rest pose turned by {turned[joint]:.0f} degrees" if turned[joint] > 0.5 else ""
        lines.append(f"{star} {joint:15} {node}{note}")
    return "\n".join(lines)


def picture(clip: MotionClip) -> Figure:
    """The body in a few frames, from the front and from its left side, turned as in the file."""
    frames = np.unique(np.linspace(0, len(clip) - 1, DRAWN).astype(int))
    rotations = torch.from_numpy(clip.rotations[frames]).double()
    joints = positions(global_rotations(rotations)).numpy()
    instants = [round(1000 * frame / clip.fps) for frame in frames.tolist()]
    return bodies.stick_figures(joints, None, instants, f"{clip.name}, as read")
