"""The synthetic lexicon: what makes a sign, and a seeded draw of signs.

- A sign combines the parameters that linguists use: handshape (at the start and at the end),
  location, movement, palm orientation, mouth shape, and what the other hand does.
- About half of the signs are minimal pairs: they differ from another sign in one parameter only.
- Directions are unit vectors in the axes of a right-handed signer's body: x to the signer's left,
  y down, z away from the camera. A left-handed signer is the mirror image.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

# --- handshapes ---------------------------------------------------------------------------------

# How far a finger's three joints are bent, from the knuckle outwards; degrees.
_STRAIGHT, _FIST, _BENT = (0, 5, 5), (85, 100, 65), (75, 8, 5)
_CLAW, _HOOK, _ROUND, _PINCH = (30, 60, 40), (10, 95, 60), (42, 45, 35), (62, 45, 25)
# The thumb: sideways in the palm's plane, forward out of that plane, and how far its two outer
# joints are bent; degrees.
_OUT, _BESIDE, _ACROSS = (62, 15, 0, 0), (28, 12, 5, 5), (38, 42, 50, 45)
_OPPOSED, _TOUCHING = (30, 58, 18, 18), (26, 50, 34, 30)


@dataclass(frozen=True)
class Handshape:
    """Joint angles of one hand, in degrees."""

    name: str  # its letter or number in American Sign Language
    fingers: tuple[tuple[int, int, int], ...]  # three joints of index, middle, ring, little finger
    thumb: tuple[int, int, int, int]  # sideways, forward, and its two outer joints
    spread: int = 3  # between neighbouring fingers

    @property
    def angles(self) -> np.ndarray:
        """(5, 4) radians, thumb to little finger: sideways, then three joints or as in `thumb`."""
        fan = self.spread * np.array([1.5, 0.5, -0.5, -1.5])  # index to little finger
        rows = [self.thumb, *((side, *flex) for side, flex in zip(fan, self.fingers, strict=True))]
        return np.radians(np.array(rows, dtype=np.float64))


HANDSHAPES = (
    Handshape("5", (_STRAIGHT,) * 4, _OUT, 14),
    Handshape("B", (_STRAIGHT,) * 4, _ACROSS),
    Handshape("A", (_FIST,) * 4, _BESIDE),
    Handshape("S", (_FIST,) * 4, _ACROSS),
    Handshape("1", (_STRAIGHT, _FIST, _FIST, _FIST), _ACROSS),
    Handshape("V", (_STRAIGHT, _STRAIGHT, _FIST, _FIST), _ACROSS, 16),
    Handshape("U", (_STRAIGHT, _STRAIGHT, _FIST, _FIST), _ACROSS, 0),
    Handshape("W", (_STRAIGHT, _STRAIGHT, _STRAIGHT, _FIST), _ACROSS, 12),
    Handshape("Y", (_FIST, _FIST, _FIST, _STRAIGHT), _OUT, 8),
    Handshape("I", (_FIST, _FIST, _FIST, _STRAIGHT), _ACROSS),
    Handshape("ILY", (_STRAIGHT, _FIST, _FIST, _STRAIGHT), _OUT, 8),
    Handshape("L", (_STRAIGHT, _FIST, _FIST, _FIST), _OUT),
    Handshape("3", (_STRAIGHT, _STRAIGHT, _FIST, _FIST), _OUT, 14),
    Handshape("X", (_HOOK, _FIST, _FIST, _FIST), _ACROSS),
    Handshape("F", (_PINCH, _STRAIGHT, _STRAIGHT, _STRAIGHT), _TOUCHING, 10),
    Handshape("O", (_PINCH,) * 4, _TOUCHING, 0),
    Handshape("C", (_ROUND,) * 4, _OPPOSED, 2),
    Handshape("claw 5", (_CLAW,) * 4, _OUT, 12),
    Handshape("bent B", (_BENT,) * 4, _BESIDE, 2),
    Handshape("8", (_STRAIGHT, _BENT, _STRAIGHT, _STRAIGHT), _OUT, 10),
)
_FLAT = HANDSHAPES[1]
RELAXED = Handshape("relaxed", ((25, 30, 20),) * 4, _BESIDE, 4)
BASE_HANDSHAPES = (_FLAT, HANDSHAPES[3], HANDSHAPES[4])  # of a hand that lies beneath the other

# --- the other parameters -----------------------------------------------------------------------

Vector = tuple[float, float, float]
_IN, _FORWARD, _UP, _DOWN = (0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (0.0, 1.0, 0.0)
_ACROSS_BODY, _OUTWARD = (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Location:
    """Where the centre of the palm is, in body axes.

    It is measured from the middle of the face, in face widths, if it is `on_head`, or else from the
    middle of the shoulders, in shoulder widths.
    """

    name: str
    on_head: bool
    at: Vector


LOCATIONS = (
    Location("forehead", True, (-0.25, -0.45, -0.45)),
    Location("temple", True, (-0.75, -0.30, -0.25)),
    Location("cheek", True, (-0.60, 0.15, -0.30)),
    Location("mouth", True, (-0.05, 0.30, -0.60)),
    Location("chin", True, (-0.05, 0.75, -0.50)),
    Location("other cheek", True, (0.45, 0.20, -0.50)),
    Location("shoulder", False, (-0.45, -0.12, -0.35)),
    Location("chest", False, (-0.02, 0.15, -0.45)),
    Location("other side of the chest", False, (0.38, 0.05, -0.45)),
    Location("in front", False, (-0.20, 0.08, -0.95)),
    Location("beside", False, (-0.70, -0.10, -0.75)),
    Location("belly", False, (-0.10, 0.42, -0.55)),
)


@dataclass(frozen=True)
class Orientation:
    """How the hand is turned: where the fingers point and where the palm faces."""

    name: str
    fingers: Vector
    palm: Vector


ORIENTATIONS = (
    Orientation("up, palm forward", _UP, _FORWARD),
    Orientation("up, palm to the signer", _UP, _IN),
    Orientation("up, palm across", _UP, _ACROSS_BODY),
    Orientation("forward, palm down", _FORWARD, _DOWN),
    Orientation("forward, palm up", _FORWARD, _UP),
    Orientation("forward, palm across", _FORWARD, _ACROSS_BODY),
    Orientation("across, palm to the signer", _ACROSS_BODY, _IN),
    Orientation("across, palm down", _ACROSS_BODY, _DOWN),
    Orientation("across, palm up", _ACROSS_BODY, _UP),
)


@dataclass(frozen=True)
class Movement:
    """The hand's movement.

    While it follows its path or stays, the hand may also twist about the forearm, nod at the wrist
    or wiggle its fingers. A tap goes there and back.
    """

    path: Literal["hold", "line", "tap", "arc", "circle", "zigzag"]
    along: Vector  # arcs, circles and zigzags also move at right angles to it
    local: Literal["none", "twist", "nod", "wiggle"] = "none"
    repeats: int = 1
    size: float = 0.45  # length of the path, shoulder widths


MOVEMENTS = (
    Movement("hold", _UP),
    Movement("hold", _UP, "twist", 2),
    Movement("hold", _UP, "nod", 2),
    Movement("hold", _UP, "wiggle", 3),
    *(Movement("line", along) for along in (_UP, _DOWN, _FORWARD, _ACROSS_BODY, _OUTWARD)),
    *(Movement("tap", along, repeats=2, size=0.25) for along in (_IN, _DOWN, _OUTWARD)),
    *(Movement("arc", along) for along in (_FORWARD, _ACROSS_BODY, _OUTWARD)),
    Movement("circle", _ACROSS_BODY, repeats=2, size=0.3),
    Movement("circle", _FORWARD, repeats=2, size=0.3),
    Movement("zigzag", _DOWN),
    Movement("zigzag", _OUTWARD),
)


@dataclass(frozen=True)
class Mouth:
    """The mouth while the sign is performed; see `face.Expression` for the units."""

    name: str
    opening: float
    width: float
    protrusion: float = 0.0


MOUTHS = (
    Mouth("closed", 0.0, 1.0),
    Mouth("open", 0.75, 0.92),
    Mouth("round", 0.40, 0.55, 0.10),
    Mouth("spread", 0.12, 1.35),
    Mouth("pursed", 0.02, 0.60, 0.14),
)


@dataclass(frozen=True)
class Sign:
    """One entry of the lexicon.

    The other hand rests ("one"), mirrors the first at the same time ("mirrored") or half a turn
    later ("alternating"), or is held still beneath it in the handshape `base` ("base").
    """

    name: str
    start: Handshape
    end: Handshape
    location: Location
    orientation: Orientation
    movement: Movement
    mouth: Mouth
    hands: Literal["one", "mirrored", "alternating", "base"] = "one"
    base: Handshape = _FLAT


# --- the draw -----------------------------------------------------------------------------------

HANDS_SHARE = {"one": 0.72, "mirrored": 0.12, "alternating": 0.05, "base": 0.11}
_CHANGING_SHARE = 0.2  # of the signs have two handshapes
_MINIMAL_PAIR_SHARE = 0.45
_VARIED = {  # what a minimal pair may differ in
    "start": HANDSHAPES,
    "location": LOCATIONS,
    "movement": MOVEMENTS,
    "orientation": ORIENTATIONS,
    "mouth": MOUTHS,
}


def draw_lexicon(size: int, seed: int) -> tuple[Sign, ...]:
    """Draw different signs, named sign_000 and so on in the order of their labels.

    Nine in twenty are made by changing one parameter of another sign.
    """
    rng = np.random.default_rng([seed, 0])
    n_pairs = int(_MINIMAL_PAIR_SHARE * size)
    signs: dict[Sign, None] = {}  # an ordered set; names come last
    while len(signs) < size - n_pairs:
        signs.setdefault(_draw_sign(rng))
    originals = list(signs)
    for k in range(n_pairs):
        original, parameter = originals[k % len(originals)], list(_VARIED)[k % len(_VARIED)]
        while (variant := _vary(original, parameter, rng)) in signs:
            original = originals[rng.integers(len(originals))]
        signs.setdefault(variant)
    drawn, order = list(signs), rng.permutation(size)
    return tuple(replace(drawn[k], name=f"sign_{label:03}") for label, k in enumerate(order))


def _draw_sign(rng: np.random.Generator) -> Sign:
    start = _pick(HANDSHAPES, rng)
    end = _pick(HANDSHAPES, rng) if rng.random() < _CHANGING_SHARE else start
    hands = tuple(HANDS_SHARE)[rng.choice(len(HANDS_SHARE), p=list(HANDS_SHARE.values()))]
    # Signs with both hands are made in front of the body, never at the head.
    places = LOCATIONS if hands == "one" else tuple(p for p in LOCATIONS if not p.on_head)
    return Sign(
        name="",
        start=start,
        end=end,
        location=_pick(places, rng),
        orientation=_pick(ORIENTATIONS, rng),
        movement=_pick(MOVEMENTS, rng),
        mouth=_pick(MOUTHS, rng),
        hands=hands,
        base=_pick(BASE_HANDSHAPES, rng) if hands == "base" else _FLAT,
    )


def _vary(sign: Sign, parameter: str, rng: np.random.Generator) -> Sign:
    """The sign with another value of one parameter."""
    old = getattr(sign, parameter)
    others = [value for value in _VARIED[parameter] if value != old]
    if parameter == "location":  # so that signs with both hands stay away from the head
        others = [place for place in others if place.on_head == old.on_head]
    new = _pick(others, rng)
    if parameter == "start" and sign.end == old:  # a sign with one handshape keeps to one
        return replace(sign, start=new, end=new)
    return replace(sign, **{parameter: new})


def _pick(choices: tuple | list, rng: np.random.Generator) -> Any:
    return choices[rng.integers(len(choices))]
