"""Synthetic motion of a body, so that everything runs without data.

Three actions with plausible directions and amplitudes: walking (periodic, legs and arms in
counter-phase), waving (one arm) and crouching (once). Every clip has its own tempo, amplitude and
phase, so the next frames can be predicted from the last two seconds. Numbers on synthetic motion
show that the code works and say nothing about people.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from src.motion.body.clip import FPS, MotionClip
from src.motion.body.skeleton import JOINTS
from src.motion.data.formats.dip import write_dip

Angles = dict[str, np.ndarray]  # joint -> (T, 3) axis-angle, radians; x = flexion

_X, _Y, _Z = np.eye(3)


def _swing(t: np.ndarray, hertz: float, phase: float) -> np.ndarray:
    return np.sin(2 * np.pi * (hertz * t + phase))


def _walk(t: np.ndarray, rng: np.random.Generator) -> Angles:
    hertz, size, phase = rng.uniform(0.7, 1.1), rng.uniform(0.7, 1.2), rng.uniform()
    angles = {
        "spine1": 0.08 * np.outer(_swing(t, hertz, phase), _Y),
        "spine3": -0.10 * np.outer(_swing(t, hertz, phase), _Y),
        "neck": 0.04 * np.outer(_swing(t, 2 * hertz, phase), _X),
    }
    for side, shift, sign in (("left", 0.0, 1.0), ("right", 0.5, -1.0)):
        stride = _swing(t, hertz, phase + shift)
        knee = 0.45 * (1 + _swing(t, hertz, phase + shift + 0.2))
        elbow = 0.35 + 0.15 * _swing(t, hertz, phase + shift + 0.5)
        angles[f"{side}_hip"] = np.outer(-0.45 * size * stride, _X)
        angles[f"{side}_knee"] = np.outer(size * knee, _X)
        angles[f"{side}_shoulder"] = np.outer(0.35 * size * stride, _X) - sign * 1.2 * _Z
        angles[f"{side}_elbow"] = -sign * np.outer(elbow, _Y)
    return angles


def _wave(t: np.ndarray, rng: np.random.Generator) -> Angles:
    hertz, size, phase = rng.uniform(0.8, 1.6), rng.uniform(0.6, 1.1), rng.uniform()
    side, sign = ("left", 1.0) if rng.uniform() < 0.5 else ("right", -1.0)
    other = "right" if side == "left" else "left"
    beat = size * _swing(t, hertz, phase)
    return {
        f"{side}_shoulder": np.outer(0.15 * beat + 0.5, sign * _Z),
        f"{side}_elbow": np.outer(0.6 * beat + 0.9, -sign * _Y),
        f"{other}_shoulder": np.tile(sign * 1.2 * _Z, (len(t), 1)),
        "spine2": 0.06 * np.outer(_swing(t, 0.5 * hertz, phase), _Z),
        "head": 0.10 * np.outer(_swing(t, 0.5 * hertz, phase), _Y),
    }


def _crouch(t: np.ndarray, rng: np.random.Generator) -> Angles:
    middle, width = rng.uniform(0.35, 0.65) * t[-1], rng.uniform(0.5, 1.0)
    depth = rng.uniform(0.6, 1.1) * np.exp(-(((t - middle) / width) ** 2))
    angles = {"spine1": 0.5 * np.outer(depth, _X), "neck": -0.3 * np.outer(depth, _X)}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        angles[f"{side}_hip"] = np.outer(-1.1 * depth, _X)
        angles[f"{side}_knee"] = np.outer(1.6 * depth, _X)
        angles[f"{side}_shoulder"] = np.outer(-0.8 * depth, _X) - sign * 1.2 * _Z
    return angles


ACTIONS = {"walk": _walk, "wave": _wave, "crouch": _crouch}


def synthetic_clip(action: str, frames: int, rng: np.random.Generator) -> MotionClip:
    """One clip of an action at 60 Hz, with a little sensor noise (0.002 rad)."""
    t = np.arange(frames) / FPS
    vectors = np.zeros((frames, len(JOINTS), 3))
    for joint, angles in ACTIONS[action](t, rng).items():
        vectors[:, JOINTS.index(joint)] = angles + rng.normal(0, 0.002, (frames, 3))
    rotations = Rotation.from_rotvec(vectors).as_matrix().astype(np.float32)
    return MotionClip(action, rotations, FPS)


def write_sample(folder: Path, seed: int, train: int = 12, test: int = 6) -> None:
    """Write DIP pickles to folder/train and folder/test; the same seed writes the same bytes.

    Actions come in rotation. Training clips have 240 to 419 frames; test clips have 600, because
    they are also rolled out.
    """
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("test", test)):
        for number in range(count):
            action = list(ACTIONS)[number % len(ACTIONS)]
            frames = 600 if split == "test" else int(rng.integers(240, 420))
            clip = synthetic_clip(action, frames, rng)
            write_dip(folder / split / f"{action}_{number}.pkl", clip)
