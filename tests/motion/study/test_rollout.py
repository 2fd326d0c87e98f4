import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from src.motion.data.windows import SEED
from src.motion.study.bars import zero_velocity
from src.motion.study.rollout import (
    RollOut,
    action_of,
    angular_speed,
    by_action,
    examples,
    per_second,
    spectral_entropy,
)


def turning(hertz, frames=240, joints=15):
    """Every joint swings by 0.4 rad."""
    angle = 0.4 * np.sin(2 * np.pi * hertz * np.arange(frames) / 60)
    matrices = Rotation.from_euler("x", angle[:, None]).as_matrix()
    return torch.from_numpy(matrices)[None, :, None].expand(1, -1, joints, -1, -1)


SWING = turning(1.0)


def test_the_angular_speed_of_a_steady_turn():
    """0.01 rad a frame at 60 Hz."""
    matrices = torch.from_numpy(Rotation.from_euler("y", 0.01 * np.arange(50)[:, None]).as_matrix())
    speed = angular_speed(matrices[None, :, None].expand(2, -1, 15, -1, -1))
    assert speed.shape == (2, 49) and torch.allclose(speed, torch.full((2, 49), 0.6).double())


def test_the_truth_is_as_fast_as_itself_and_a_held_frame_is_frozen():
    same = per_second(SWING, [SWING[0]])
    assert same.speed.to_numpy() == pytest.approx(1) and same.second.tolist() == [1, 2, 3, 4]
    assert same.drift.max() < 1e-9
    frozen = per_second(zero_velocity(SWING[:, :1], 240), [SWING[0]])
    assert frozen.speed.max() < 1e-6 and frozen.entropy.max() < 1e-6
    double = per_second(turning(2.0), [SWING[0]])
    assert double.speed.to_numpy() == pytest.approx(2, rel=0.02)


def test_seconds_beyond_the_truth_have_no_speed():
    table = per_second(SWING, [SWING[0, :150]])
    assert table.speed.notna().tolist() == [True, True, False, False]
    assert table.drift.notna().all() and table.entropy.notna().all()


def test_drift_is_the_distance_from_rotations_before_projection():
    table = per_second(1.5 * SWING, [SWING[0]])  # 0.5 times the identity's norm, sqrt(3)
    assert table.drift.to_numpy() == pytest.approx(0.5 * 3**0.5)
    assert table.speed.to_numpy() == pytest.approx(1)  # speed is of the projected frames


def test_entropy_tells_a_swing_from_jitter(rng):
    swing = spectral_entropy(turning(2.0, frames=60))
    jitter = Rotation.from_rotvec(rng.normal(0, 0.2, (60 * 15, 3))).as_matrix()
    noise = torch.from_numpy(jitter).view(1, 60, 15, 3, 3)
    assert swing < 0.25 and spectral_entropy(noise) > 0.8


def test_actions_are_read_off_the_names_of_clips():
    names = ["walking_1", "walking_12", "jump", "washwindow_2", "basketball_signal_1", "07"]
    actions = ["walking", "walking", "jump", "washwindow", "basketball_signal", "07"]
    assert [action_of(name) for name in names] == actions
    amass = ["walking_1_poses", "walking_2_stageii", "jump_poses", "01_01_poses"]
    assert [action_of(name) for name in amass] == ["walking", "walking", "jump", "01_01_poses"]


def test_no_more_examples_are_drawn_than_somebody_looks_at():
    """CMU's clips have names such as 01_02, each an action of its own."""
    names = [f"{n:02}_01" for n in range(40)]
    rollout = RollOut(SWING.expand(40, -1, -1, -1, -1), [SWING[0]] * 40, names)
    assert list(examples(rollout)) == names[:12]


def test_a_truth_that_stands_still_has_no_speed_to_compare_with():
    """Divided by its zero, one such clip made the speed of all of them infinite."""
    still = turning(0.0)[0]
    table = per_second(SWING.expand(2, -1, -1, -1, -1), [still, SWING[0]])
    assert table.speed.to_numpy() == pytest.approx(1)
    assert per_second(SWING, [still]).speed.isna().all()
    actions = by_action(RollOut(SWING, [still], ["stand"]))
    assert actions[["speed, first", "speed, last"]].isna().all(axis=None)


def test_an_action_whose_clips_end_with_the_seed_is_no_example():
    """There is no true body to draw beside the forecast."""
    rollout = RollOut(SWING.expand(2, -1, -1, -1, -1), [SWING[0, :0], SWING[0]], ["sit", "walk"])
    assert list(examples(rollout)) == ["walk"]


def test_freezing_is_told_per_action(corpus):
    """Held frames freeze every action, and the truth itself is as fast at the end as it was."""
    futures = [torch.from_numpy(clip.predicted[SEED:]) for clip in corpus.test]
    actions = [action_of(clip.name) for clip in corpus.test]
    true = torch.stack([future[:120] for future in futures])
    held = true[:, :1].expand(-1, 120, -1, -1, -1)
    frozen, moving = (by_action(RollOut(made, futures, actions)) for made in (held, true))
    held_on = examples(RollOut(held, futures, actions))
    assert set(held_on) == set(frozen.index)
    for made, truth in held_on.values():  # a clip's own roll-out beside its own truth
        assert torch.equal(made[0], truth[0]) and len(truth) == 480
    whole, short = futures[0], futures[0][:180]
    for truths in ([whole, short], [short, whole]):  # of two clips of an action the longer truth
        ((_, truth),) = examples(RollOut(held[:2], truths, ["walk"] * 2)).values()
        assert len(truth) == 480
    assert list(frozen.index) == sorted(set(actions))
    assert (frozen["speed, last"] < 1e-3).all() and frozen.clips.sum() == len(corpus.test)
    assert (moving["speed, first"] > 0.1).all() and (moving.drift < 1e-4).all()
    assert np.allclose(moving["truth, s"], 8)  # 600 frames less the seed
