"""When a sign begins and ends, decided by landmarks alone."""

import numpy as np
import pytest

from src.landmarks import LEFT_HAND, LEFT_SHOULDER, RIGHT_HAND, RIGHT_SHOULDER, undetected
from src.video.live.session import BEGINS, FEWEST, MOST, RESTS, Event, Session, Shot, State
from src.video.live.session import is_hand_up as up


def frame(left: float | None = None, right: float | None = None, shoulders: bool = True):
    """Shoulders at height 0.5, 0.3 apart: the line is at 0.8. Hands at these heights."""
    (xyz,) = undetected(1)
    if shoulders:
        xyz[LEFT_SHOULDER], xyz[RIGHT_SHOULDER] = (0.65, 0.5, 0), (0.35, 0.5, 0)
    for hand, y in ((LEFT_HAND, left), (RIGHT_HAND, right)):
        if y is not None:
            xyz[list(hand)] = 0.5, y, 0
    return xyz


UP, DOWN, GONE = frame(right=0.4), frame(right=0.9, left=0.85), frame()


def fed(session: Session, *frames: np.ndarray) -> list[Event]:
    return [session.feed(Shot(f, b"", float(t))) for t, f in enumerate(frames)]


@pytest.mark.parametrize(
    ("xyz", "expected"),
    [
        (UP, True), (DOWN, False), (GONE, False), (frame(left=0.79), True),
        (frame(left=0.81), False), (frame(left=0.9, right=0.4), True),
        (frame(left=0.95, shoulders=False), True), (frame(shoulders=False), False),
    ],
)  # fmt: skip
def test_a_hand_is_up_above_one_shoulder_width_below_the_shoulders(xyz, expected):
    assert up(xyz) is expected


def test_by_hands_a_sign_begins_pauses_and_ends_with_the_frames_that_had_a_hand():
    session = Session()
    session.change("hands", False)
    session.press()  # the key does nothing
    assert set(fed(session, *[UP] * (BEGINS - 1), GONE, *[UP] * (BEGINS - 1))) == {Event.NOTHING}
    assert session.state is State.IDLE
    fed(session, UP, *[UP] * 3)
    assert session.state is State.SIGNING
    assert fed(session, GONE) == [Event.PAUSED] and len(session.shots) == BEGINS + 3
    assert fed(session, *[DOWN] * (RESTS - 2), UP, UP) == [Event.NOTHING] * RESTS
    events = fed(session, *[GONE] * RESTS)
    assert events == [Event.PAUSED, *[Event.NOTHING] * (RESTS - 2), Event.ENDED]
    assert session.state is State.IDLE
    clip = session.clip()
    # The short rest inside belongs to the sign, the long one at its end does not.
    assert [up(f) for f in clip] == [True] * (BEGINS + 3) + [False] * (RESTS - 1) + [True] * 2
    fed(session, *[UP] * BEGINS)  # the next one has nothing of it
    assert len(session.shots) == BEGINS


def test_hands_from_before_another_way_belong_to_no_sign():
    session = Session()
    session.change("hands", True)
    fed(session, *[UP] * (BEGINS - 1))
    session.change("key", True)
    session.change("hands", True)
    fed(session, UP)
    assert session.state is State.IDLE


def test_by_key_a_sign_is_what_is_seen_while_it_is_held():
    session = Session()
    assert session.release() is Event.NOTHING
    fed(session, *[UP] * 9)  # hands alone do nothing
    session.press()
    numbered = [frame(right=k / 100) for k in range(FEWEST)]
    assert set(fed(session, *numbered)) == {Event.NOTHING}
    session.press()  # a second press changes nothing
    assert session.release() is Event.ENDED
    np.testing.assert_array_equal(session.clip(), np.stack(numbered))
    session.press()
    fed(session, *[UP] * (FEWEST - 1))
    assert session.release() is Event.TOO_SHORT and session.state is State.IDLE


@pytest.mark.parametrize("way", ["key", "hands"])
def test_a_sign_has_an_end(way):
    session = Session()
    session.change(way, True)
    session.press()
    assert fed(session, *[UP] * MOST).index(Event.ENDED) == MOST - 1
    assert session.state is State.WAITING and len(session.shots) == MOST


def test_a_recorded_clip_waits_and_no_other_begins():
    session = Session()
    session.change("hands", True)
    fed(session, *[UP] * 5, *[GONE] * RESTS)
    assert session.state is State.WAITING
    session.press()
    assert set(fed(session, *[UP] * 9)) == {Event.NOTHING}
    session.change("hands", True)
    assert session.state is State.WAITING and len(session.clip()) == 5
    session.discard()
    assert session.state is State.IDLE and not session.shots


def test_what_is_half_signed_is_forgotten_when_the_way_changes():
    session = Session()
    session.press()
    fed(session, *[UP] * 9)
    session.change("hands", False)
    assert session.state is State.IDLE and not session.shots
