"""One signer performs one sign once: the body in metres, frame by frame.

- In a clip the hands rest, come up, perform the sign, go down and rest again. Short clips are
  nearly all sign and long ones have more rest, as in the competition.
- Everything is performed right-handed; a left-handed signer is mirrored at the end.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from src.clips import RawClip
from src.dataset.sample import face
from src.dataset.sample.lexicon import RELAXED, Location, Movement, Orientation, Sign
from src.dataset.sample.signers import Signer
from src.dataset.sample.skeleton import MIRRORED, ArmAndHand, hand_axes, pose_points, right_arm
from src.landmarks import MIRROR, PARTS

MIN_FRAMES, MAX_FRAMES = 2, 272  # of 747 clips of the competition
_LENGTH_SPREAD = 0.86  # log-normal, within one signer
_PALM_CENTRE = 0.6  # palm lengths from the wrist
_RESTING = (np.array([0.25, 0.97, 0.0]), np.array([0.0, 0.0, 1.0]))  # fingers down, palm to body
_PERPENDICULAR = {True: np.array([-1.0, 0.0, 0.0]), False: np.array([0.0, -1.0, 0.0])}
_SWING = {"none": 0.0, "twist": np.radians(55), "nod": np.radians(35), "wiggle": np.radians(28)}
_AXIS = {"twist": (0, 1, 0), "nod": (1, 0, 0)}  # in the hand's own axes
_HANDS_APART = 0.30  # shoulder widths from the midline, at least, when both hands do the same


@dataclass(frozen=True)
class Timing:
    """What happens in which frame."""

    raised: Float[np.ndarray, "T"]  # 0 = the hands rest, 1 = they are in the signing space
    phase: Float[np.ndarray, "T"]  # 0 = the sign begins, 1 = it has ended


def perform(sign: Sign, signer: Signer, rng: np.random.Generator) -> RawClip:
    """The landmarks of one performance, in metres and body axes; nothing is missing."""
    frames = np.rint(signer.frames * np.exp(rng.normal(0, _LENGTH_SPREAD)))
    timing = _draw_timing(int(np.clip(frames, MIN_FRAMES, MAX_FRAMES)), rng)
    right = _arm(sign, signer, timing, rng)
    # The left arm is made as a right one and mirrored.
    left = tuple(points * MIRRORED for points in _other_arm(sign, signer, timing, rng))
    head, ears = _head(sign, signer, timing, rng)
    hip = np.broadcast_to(signer.hip, (len(timing.phase), 3))
    pose = pose_points(head, ears, (left, right), hip)
    parts = {"face": head, "left_hand": left[1], "pose": pose, "right_hand": right[1]}
    body = np.concatenate([parts[part] for part in PARTS], axis=1)
    # The whole body sways a little.
    body = body + _drift(len(body), 0.006, rng)[:, None]
    return body[:, MIRROR] * MIRRORED if signer.left_handed else body


# --- time ---------------------------------------------------------------------------------------


def _draw_timing(frames: int, rng: np.random.Generator) -> Timing:
    at = (np.arange(frames) + 0.5) / frames
    # Shares of the clip: at rest, and on the way to the sign and back.
    rest = np.clip(0.15 * np.log(frames / 8), 0, 0.6) * rng.uniform(0.6, 1.4)
    way = 0.22 * (1 - rest) * rng.uniform(0.7, 1.3)
    before, there = rng.uniform(0.3, 0.7, 2)  # how much of each comes before the sign
    # When the hands leave their rest, the sign starts, it ends, and the hands rest again.
    up, start = rest * before, rest * before + way * there
    end, down = 1 - rest * (1 - before) - way * (1 - there), 1 - rest * (1 - before)
    raised = _smooth((at - up) / (start - up)) * (1 - _smooth((at - end) / (down - end)))
    phase = np.clip((at - start) / (end - start), 0, 1)
    # Nobody moves at an even pace.
    phase = phase + rng.normal(0, 0.05) * np.sin(np.pi * phase) ** 2
    return Timing(raised, np.clip(phase, 0, 1))


def _smooth(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


def _drift(frames: int, size: float, rng: np.random.Generator) -> Float[np.ndarray, "T 3"]:
    """A slow, small movement that belongs to no sign, metres."""
    ends = rng.normal(0, size, (2, 3))
    share = _smooth(np.linspace(0, 1, frames))[:, None]
    return ends[0] * (1 - share) + ends[1] * share


# --- arms ---------------------------------------------------------------------------------------


def _arm(
    sign: Sign,
    signer: Signer,
    timing: Timing,
    rng: np.random.Generator,
    later: float = 0.0,
    beneath: bool = False,
) -> ArmAndHand:
    """The right arm and hand of a signer who performs a sign.

    For the other arm, `later` is a delay, as a share of the movement, and `beneath` lowers it.
    """
    phase = (timing.phase + later) % 1 if later else timing.phase
    amplitude = signer.amplitude * np.exp(rng.normal(0, 0.1))
    # The hand turns from its rest into the sign's orientation, and then as the movement asks.
    habit = signer.tilt + rng.normal(0, 0.09, 3)
    fingers, palm = np.array(sign.orientation.fingers), np.array(sign.orientation.palm)
    turned = Rotation.from_rotvec(habit) * hand_axes(fingers, palm)
    axes = _between(hand_axes(*_RESTING), turned, timing.raised)
    axes = axes * _local_turn(sign.movement, phase, timing.raised * amplitude)
    # The palm follows its path from the sign's location; the wrist is at the palm's end.
    place = _place(sign.location, signer) + signer.offset + rng.normal(0, 0.012, 3)
    if beneath:
        place = place + np.array([0, 0.07, 0])
    palm_centre = place + 2 * signer.shoulder * amplitude * _path(sign.movement, phase)
    wrist = palm_centre - turned.apply([0, 1, 0]) * _PALM_CENTRE * signer.palm
    raised = timing.raised[:, None]
    wrist = signer.rest * (1 - raised) + wrist * raised
    angles = _joint_angles(sign, signer, phase, timing.raised, rng)
    return right_arm(signer, wrist, angles, axes)


def _other_arm(sign: Sign, signer: Signer, timing: Timing, rng: np.random.Generator) -> ArmAndHand:
    """The left arm and hand, as if they were right ones."""
    x, y, z = sign.location.at
    match sign.hands:
        case "one":
            frames = len(timing.phase)
            wrist = signer.rest + _drift(frames, 0.012, rng)
            angles = np.broadcast_to(RELAXED.angles + signer.stiffness, (frames, 5, 4))
            axes = _between(hand_axes(*_RESTING), hand_axes(*_RESTING), timing.raised)
            return right_arm(signer, wrist, angles, axes)
        case "mirrored" | "alternating":
            later = 0.5 if sign.hands == "alternating" else 0.0
            place = replace(sign.location, at=(min(x, -_HANDS_APART), y, z))
            return _arm(replace(sign, location=place), signer, timing, rng, later)
        case "base":
            held = replace(
                sign,
                start=sign.base,
                end=sign.base,
                location=replace(sign.location, at=(-x, y, z)),  # under the right hand
                orientation=Orientation("across, palm up", (0.8, 0.0, -0.6), (0.0, -1.0, 0.0)),
                movement=Movement("hold", (0.0, -1.0, 0.0)),
            )
            return _arm(held, signer, timing, rng, beneath=True)


def _place(location: Location, signer: Signer) -> np.ndarray:
    if location.on_head:
        return signer.head + signer.face_width * np.array(location.at)
    return 2 * signer.shoulder * signer.reach * np.array(location.at)


def _between(rest: Rotation, sign: Rotation, raised: np.ndarray) -> Rotation:
    """Rotations on the shortest way from `rest` to `sign`, at the share `raised` of the way."""
    way = (rest.inv() * sign).as_rotvec()
    return rest * Rotation.from_rotvec(raised[:, None] * way)


def _path(movement: Movement, phase: np.ndarray) -> Float[np.ndarray, "T 3"]:
    """The path of the palm, in shoulder widths."""
    along = np.array(movement.along)
    up = _PERPENDICULAR[abs(along[1]) > 0.5]
    turn = 2 * np.pi * movement.repeats * phase
    match movement.path:
        case "hold":
            there, side = 0 * phase, 0 * phase
        case "line":
            there, side = _smooth(phase) - 0.5, 0 * phase
        case "tap":
            there, side = -0.5 - 0.5 * np.cos(turn), 0 * phase
        case "arc":
            there, side = -0.5 * np.cos(np.pi * phase), 0.6 * np.sin(np.pi * phase)
        case "circle":
            there, side = 0.5 * np.sin(turn), 0.5 * np.cos(turn)
        case "zigzag":
            there, side = phase - 0.5, 0.25 * np.sin(3 * np.pi * phase)
    return movement.size * (there[:, None] * along + side[:, None] * up)


def _local_turn(movement: Movement, phase: np.ndarray, amplitude: np.ndarray) -> Rotation:
    axis = np.array(_AXIS.get(movement.local, (0, 0, 0)))
    angle = _SWING[movement.local] * np.sin(2 * np.pi * movement.repeats * phase) * amplitude
    return Rotation.from_rotvec(angle[:, None] * axis)


def _joint_angles(
    sign: Sign, signer: Signer, phase: np.ndarray, raised: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, "T 5 4"]:
    change = _smooth(1.6 * phase - 0.3)[:, None, None]
    shape = sign.start.angles * (1 - change) + sign.end.angles * change
    if sign.movement.local == "wiggle":
        turn = 2 * np.pi * sign.movement.repeats * phase[:, None] + np.arange(1, 5)
        shape[:, 1:, 1] += _SWING["wiggle"] * (0.5 + 0.5 * np.sin(turn))
    formed = _smooth(2.5 * raised)[:, None, None]  # the hand takes its shape on the way
    shape = RELAXED.angles * (1 - formed) + shape * formed
    return shape + signer.stiffness + rng.normal(0, 0.05, (5, 4))


# --- head ---------------------------------------------------------------------------------------


def _head(
    sign: Sign, signer: Signer, timing: Timing, rng: np.random.Generator
) -> tuple[face.Face, np.ndarray]:
    """The face and the ears (T, 2, 3)."""
    frames = len(timing.phase)
    shown = timing.raised * signer.mouthing
    expression = face.Expression(
        opening=np.maximum(0, sign.mouth.opening * shown + rng.normal(0, 0.015)),
        width=1 + (sign.mouth.width - 1) * shown,
        protrusion=sign.mouth.protrusion * shown,
        brows=np.full(frames, max(0.0, rng.normal(0.01, 0.02))),
    )
    ears = np.repeat(face.EARS[None], frames, axis=0)
    points = np.concatenate([face.face_points(expression), ears], axis=1)
    points = points * [1, signer.face_ratio, 1] * signer.face_width
    turn = Rotation.from_rotvec(rng.normal(0, 0.06, 3) + 6 * _drift(frames, 0.006, rng))
    points = np.einsum("tij,tnj->tni", turn.as_matrix(), points) + signer.head
    return points[:, : -len(face.EARS)], points[:, -len(face.EARS) :]
