"""When a sign begins and ends: a state machine that knows neither a camera nor a network.

- "key": a sign lasts as long as the key is held.
- "hands": a sign begins when a hand is up in `BEGINS` frames in a row, and its clip with the first
  of them. It pauses at the first frame without a raised hand and ends after `RESTS` such frames in
  a row; its clip ends with the last frame that has a raised hand.
- A hand is up if it is detected and its wrist is higher than one shoulder width below the
  shoulders. Without shoulders every detected hand is up.
- While recording, a clip waits until it is kept or discarded, and no other sign begins.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from src.clips import RawClip
from src.landmarks import LEFT_HAND, LEFT_SHOULDER, N_LANDMARKS, RIGHT_HAND, RIGHT_SHOULDER, WRIST

BEGINS = 3  # frames; 0.15 s at 20 a second
RESTS = 10  # frames; 0.5 s: hands out of sight, or lost by mediapipe, are back sooner
FEWEST = 4  # frames of a clip; fewer means that the key was only touched
MOST = 300  # frames of a clip; 15 s; this also limits the memory

Frame = Float[np.ndarray, f"{N_LANDMARKS} 3"]


class State(StrEnum):
    """What the signer is doing."""

    IDLE = "idle"
    SIGNING = "signing"
    WAITING = "waiting"  # for keep or discard


class Event(StrEnum):
    """What a frame or the key has caused."""

    NOTHING = "nothing"
    PAUSED = "paused"  # the hand has gone; the clip may be whole
    ENDED = "ended"  # the clip is whole
    TOO_SHORT = "too short"


@dataclass(frozen=True)
class Shot:
    """One picture of the camera."""

    frame: Frame  # its landmarks, NaN = not detected
    jpeg: bytes
    time: float  # when it came, in seconds


def is_hand_up(frame: Frame) -> bool:
    """True if a hand is detected and high enough to sign."""
    shoulders = frame[[LEFT_SHOULDER, RIGHT_SHOULDER]]
    lowest = shoulders[:, 1].max() + abs(shoulders[0, 0] - shoulders[1, 0])
    wrists = frame[[LEFT_HAND[WRIST], RIGHT_HAND[WRIST]], 1]
    seen = wrists[np.isfinite(wrists)]
    return bool(seen.size) and (bool(np.isnan(lowest)) or bool((seen < lowest).any()))


class Session:
    """One browser's signs, one after the other."""

    def __init__(self) -> None:
        self.state = State.IDLE
        self._way, self._recording = "key", False
        self._coming: list[Shot] = []  # with a hand, before it is certain that a sign begins
        self._shots: list[Shot] = []  # of the sign
        self._resting = 0  # how many of the last ones show no raised hand

    def change(self, way: str, recording: bool) -> None:
        """Choose the way ("key" or "hands") and whether clips wait; a sign half signed is lost."""
        self._way, self._recording, self._coming = way, recording, []
        if self.state is State.SIGNING or not recording:
            self.discard()

    def press(self) -> None:
        """The key goes down."""
        if self._way == "key" and self.state is State.IDLE:
            self._begin([])

    def release(self) -> Event:
        """The key comes up."""
        if self._way == "key" and self.state is State.SIGNING:
            return self._end()
        return Event.NOTHING

    def feed(self, shot: Shot) -> Event:
        """Take the next picture."""
        if self.state is State.WAITING:
            return Event.NOTHING
        if self._way == "hands":
            return self._feed_by_hands(shot)
        if self.state is State.SIGNING:
            self._shots.append(shot)
            return self._end() if len(self._shots) == MOST else Event.NOTHING
        return Event.NOTHING

    def _feed_by_hands(self, shot: Shot) -> Event:
        up = is_hand_up(shot.frame)
        if self.state is State.IDLE:
            self._coming = [*self._coming, shot] if up else []
            if len(self._coming) == BEGINS:
                self._begin(self._coming)
            return Event.NOTHING
        self._shots.append(shot)
        self._resting = 0 if up else self._resting + 1
        if self._resting == RESTS or len(self._shots) == MOST:
            return self._end()
        return Event.PAUSED if self._resting == 1 else Event.NOTHING

    def _begin(self, shots: list[Shot]) -> None:
        self._shots, self._coming, self._resting = shots, [], 0
        self.state = State.SIGNING

    def _end(self) -> Event:
        self._shots, self._resting = self.shots, 0
        if len(self._shots) < FEWEST:
            self.discard()
            return Event.TOO_SHORT
        self.state = State.WAITING if self._recording else State.IDLE
        return Event.ENDED

    @property
    def shots(self) -> list[Shot]:
        """The pictures of the current or latest sign, without the rest at its end."""
        return self._shots[: len(self._shots) - self._resting]

    def clip(self) -> RawClip:
        """The landmarks of these pictures: (T, L, 3) float32."""
        return np.stack([shot.frame for shot in self.shots])

    def discard(self) -> None:
        """Forget the sign."""
        self._shots, self._coming, self._resting = [], [], 0
        self.state = State.IDLE
