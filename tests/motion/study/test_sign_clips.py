from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from src.common.errors import InputError
from src.dataset.store import Store
from src.landmarks import LEFT_HAND, LEFT_WRIST, POSE_17, RIGHT_HAND, RIGHT_WRIST, Layout
from src.motion.study import sign_clips as s
from src.motion.study.experiments import PROFILES

LAYOUT = Layout({"left_hand": LEFT_HAND[:2], "pose": POSE_17[:1]})


def moving(frames=60, points=3, seed=0):
    """Points that move steadily, each at its own speed."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(0.3, 0.6, (points, 3)), rng.uniform(-0.01, 0.01, (points, 3))
    return (start + np.arange(frames)[:, None, None] * speed).astype(np.float32)


def test_the_last_place_is_held_and_never_a_later_one():
    clip = torch.tensor([torch.nan, 1, torch.nan, torch.nan, 2])[:, None, None].expand(-1, -1, 3)
    assert s.hold_last(clip)[:, 0, 0].tolist() == [0, 1, 1, 1, 2]


def test_where_a_signer_stands_and_how_large_changes_nothing_but_the_unit(rng):
    """From the shoulders, as the seed shows them: the target has no part in it."""
    clip = rng.uniform(0.3, 0.6, (60, len(s.LAYOUT), 3)).astype(np.float32)
    moved = 1.5 * clip + np.float32([0.1, -0.2, 0])
    later = clip.copy()
    later[24:] += 0.1
    one, other, far = (s.sign_task([clip], [c], s.FromShoulders(1.5)) for c in (clip, moved, later))
    assert torch.allclose(one.valid, other.valid, atol=1e-3)
    assert torch.allclose(other.space.size, 1.5 * one.space.size, rtol=1e-3)
    assert torch.equal(one.valid[:, :24], far.valid[:, :24])
    # Errors are in the unit of the clip, whatever it was normalised to.
    plain = s.part_errors(s.sign_task([clip], [clip]), {})
    assert np.allclose(s.part_errors(one, {}), plain, rtol=1e-3)
    drawn = s.liveliest(one, one.valid[:, 24:])
    made, true = drawn["forecast"][0], drawn["truth, 24 frames on"][0]
    assert np.allclose(made[LEFT_WRIST], true[LEFT_WRIST]) and np.isnan(made[0, 0])


def test_short_clips_are_left_out_and_too_few_are_refused():
    task = s.sign_task([moving(), moving(47)], [moving(100)])
    assert len(task.train) == 1 and len(task.valid) == 3  # 48 frames every 24 of 100
    with pytest.raises(InputError, match=r"SIGNS, valid: expected a sign clip of 48.*has 47"):
        s.sign_task([moving()], [moving(47)])


def test_errors_are_distances_in_the_image_of_what_was_seen():
    """Two hand points stand still, the pose moves by 0.001 a frame: zero velocity errs by the
    mean of 1 to 24 steps, z is not scored."""
    clip = np.full((48, 3, 3), 0.5, np.float32)
    clip[:, 2, 0] += 0.001 * np.arange(48)
    clip[:, 2, 2] += 7 * np.arange(48)
    task = s.sign_task([clip, moving()], [clip])
    table = s.part_errors(task, {}, LAYOUT)
    assert table.loc["left_hand", "zero velocity"] == pytest.approx(0, abs=1e-6)
    assert table.loc["pose", "zero velocity"] == pytest.approx(0.001 * 12.5, rel=1e-3)
    perfect = s.part_errors(task, {"perfect": task.valid[:, 24:]}, LAYOUT)
    assert perfect["perfect"].max() < 1e-6


def test_points_not_seen_in_target_or_seed_are_not_scored():
    clip = moving(48)
    hidden = clip.copy()
    hidden[30:40, 0] = np.nan  # in the target
    hidden[:24, 1] = np.nan  # in all of the seed
    task = s.sign_task([moving(), clip], [hidden])
    truth = task.valid_truth[0, 24:]
    assert truth[6:16, 0].isnan().all() and truth[:, 1].isnan().all()
    assert truth[:6, 0].isfinite().all() and truth[:, 2].isfinite().all()
    made = torch.randn(1, 24, 3, 3)
    worse = made.clone()
    worse[:, :, 1] += 100
    worse[:, 6:16, 0] += 100
    assert task.score(made) == task.score(worse)
    worse[:, :, 2] += 100
    assert task.score(made) < task.score(worse)


def test_a_store_gives_hands_and_pose_of_other_and_of_held_out_signers(tmp_path):
    landmarks = tuple(sorted((0, *s.LAYOUT.sources)))
    frames = np.arange(10 * len(landmarks) * 3).reshape(10, len(landmarks), 3).astype(np.float16)
    table = pd.DataFrame({"offset": [0, 4], "length": [4, 6], "fold": [1, 0]})
    store = Store(tmp_path, table, landmarks, {}, frames)
    train, valid = s.from_store(store)
    assert [len(c) for c in train] == [4] and [len(c) for c in valid] == [6]
    columns = [landmarks.index(k) for k in (*LEFT_HAND, *POSE_17, *RIGHT_HAND)]
    assert np.array_equal(valid[0], frames[4:, columns].astype(np.float32))
    poor = replace(store, landmarks=landmarks[:-1], frames=frames[:, :-1])
    with pytest.raises(InputError, match="hand and pose landmarks, 1 are missing"):
        s.from_store(poor)


def test_synthetic_signs_are_bodies_whose_hands_move():
    clips = s.synthetic_signs(0, 10)
    assert any(np.isnan(c).any() for c in clips) and clips[0].shape[1:] == (59, 3)
    assert sum(len(c) >= 48 for c in clips) > 5
    moved = np.median([np.ptp(c, 0).max(-1) for c in clips], 0)
    assert np.nanmax(moved[[s.LAYOUT.points.index((p,)) for p in (LEFT_WRIST, RIGHT_WRIST)]]) > 0.1
    again = s.synthetic_signs(0, 10)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(clips, again, strict=True))


def test_the_studys_networks_learn_movements_that_go_on(tmp_path):
    """Sixty steps are enough to beat holding still."""
    clips = [moving(80, len(s.LAYOUT)) + 0.02 * n for n in range(24)]
    task = s.sign_task(clips[:20], clips[20:])
    profile = replace(PROFILES["sample"], steps=60, validate_every=20, width=16, rate=5e-3)
    made = s.run_signs(task, profile, tmp_path, seed=0)
    table = s.part_errors(task, made)
    assert set(made) == {"ours", "seq2seq"}
    assert list(table.index) == ["left_hand", "pose", "right_hand"]
    for name in made:
        assert (table[name] < table["zero velocity"]).all(), table
        assert (tmp_path / name / "best.pt").is_file()
