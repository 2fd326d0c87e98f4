"""Synthetic signers: body, handedness, habits, pace, and the camera in front of them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from src.dataset.sample.camera import Camera, draw_camera

# Metres, of an adult of average size; MediaPipe's shoulders are the joints, not the outline.
_SHOULDER, _ARM, _FACE_WIDTH, _PALM = 0.155, (0.27, 0.245), 0.168, 0.100
_NOSE_ABOVE_SHOULDERS, _HIP = 0.155, (-0.10, 0.43, 0.02)
# Frames of a clip, over all signers: median 18 and mean 31 in the competition, like a log-normal
# with a spread of 1.05, of which about 0.6 comes from the signers' own paces.
_MEDIAN_FRAMES, _PACE_SPREAD = 20, 0.6
LEFT_HANDED_SHARE = 0.35  # in the competition about 6 of 14 signers seem to be left-handed


@dataclass(frozen=True)
class Signer:
    """One participant. Lengths and places are in metres, angles in radians."""

    name: str  # participant_id
    left_handed: bool
    shoulder: float  # half the distance between the shoulders
    arm: tuple[float, float]  # lengths of upper arm and forearm
    palm: float  # from the wrist to the middle finger's knuckle
    face_width: float
    face_ratio: float  # how much the face is stretched in height
    head: Float[np.ndarray, "3"]  # the middle of the face
    hip: Float[np.ndarray, "3"]  # the right hip
    rest: Float[np.ndarray, "3"]  # the right wrist between signs
    reach: float  # scale of the signing space
    offset: Float[np.ndarray, "3"]  # shift of the signing space
    tilt: Float[np.ndarray, "3"]  # rotation vector of the hands, on top of what the sign asks for
    stiffness: Float[np.ndarray, "5 4"]  # added to every joint angle
    amplitude: float  # scale of movements
    mouthing: float  # scale of mouth shapes
    steadiness: float  # the higher, the less often the detector loses a hand
    frames: float  # median length of this signer's clips
    camera: Camera  # in front of the signer


def draw_signers(count: int, seed: int) -> tuple[Signer, ...]:
    """Draw signers; the same seed gives the same ones.

    Handedness and pace are spread evenly over the signers instead of drawn one by one, so that a
    small sample, too, has left-handed signers and clips of the usual lengths.
    """
    rng = np.random.default_rng([seed, 1])
    number = np.arange(count + 1)
    turns = np.floor(rng.random() + LEFT_HANDED_SHARE * number)
    # Steps of the golden ratio fill the unit interval evenly, however many there are.
    pace = ndtri((rng.random() + number * (np.sqrt(5) - 1) / 2) % 1)
    return tuple(
        _draw_signer(f"{90001 + k}", bool(turns[k + 1] > turns[k]), pace[k], rng)
        for k in range(count)
    )


def _draw_signer(name: str, left_handed: bool, pace: float, rng: np.random.Generator) -> Signer:
    size = rng.normal(1, 0.05)
    nose_y = -_NOSE_ABOVE_SHOULDERS * size * rng.normal(1, 0.06)
    return Signer(
        name=name,
        left_handed=left_handed,
        shoulder=_SHOULDER * size * rng.normal(1, 0.05),
        arm=(_ARM[0] * size * rng.normal(1, 0.03), _ARM[1] * size * rng.normal(1, 0.03)),
        palm=_PALM * size * rng.normal(1, 0.05),
        face_width=_FACE_WIDTH * size * rng.normal(1, 0.04),
        face_ratio=rng.normal(0.9, 0.045),
        head=np.array([0, nose_y, -0.05]),
        hip=np.array(_HIP) * size,
        rest=np.array([-0.13, rng.uniform(0.37, 0.47), -0.10]) * size,
        reach=rng.normal(1, 0.09),
        offset=rng.normal(0, (0.018, 0.022, 0.02)),
        tilt=rng.normal(0, 0.13, 3),
        stiffness=rng.normal(0, 0.07, (5, 4)),
        amplitude=np.exp(rng.normal(0, 0.2)),
        mouthing=np.exp(rng.normal(-0.05, 0.18)),
        steadiness=rng.normal(0, 0.5),
        frames=_MEDIAN_FRAMES * np.exp(_PACE_SPREAD * pace),
        camera=draw_camera(rng),
    )
