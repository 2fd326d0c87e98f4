"""Figures show the numbers that they are given, inside their limits, and are closed at once."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgba

from src import plots
from src.landmarks import EDGES, HAND_EDGES, LEFT_HAND, POSE_17, RIGHT_HAND, Layout, undetected


@pytest.fixture(autouse=True)
def every_figure_is_closed():
    """An open figure would be shown a second time by the notebook, and kept in memory."""
    yield
    assert plt.get_fignums() == []


@pytest.fixture
def clip() -> np.ndarray:
    """Twelve frames of a right hand that goes to the right; nothing else is detected."""
    xyz = undetected(12)
    xyz[:, RIGHT_HAND] = np.random.default_rng(0).uniform(0.4, 0.5, (1, 21, 3))
    xyz[:, RIGHT_HAND, 0] += 0.1 * np.arange(12)[:, None]
    return xyz


def drawn(ax) -> np.ndarray:
    """The ends of all lines of a clip's frame, of those that are numbers."""
    paths = [path for part in ax.collections for path in part.get_paths()]
    points = np.concatenate([path.vertices for path in paths])
    return points[np.isfinite(points).all(1)]


def test_frames_show_the_hand_where_it_is_and_y_goes_down(clip):
    figure = plots.frames(clip, "a sign", count=3)
    assert figure.get_suptitle() == "a sign"
    assert [ax.get_title() for ax in figure.axes] == ["frame 0", "frame 6", "frame 11"]
    for ax, t in zip(figure.axes, (0, 6, 11), strict=True):
        hand = clip[t, np.unique(EDGES["right_hand"]), :2]
        np.testing.assert_allclose(drawn(ax).min(0), hand.min(0), rtol=1e-6)
        np.testing.assert_allclose(drawn(ax).max(0), hand.max(0), rtol=1e-6)
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert left < clip[..., 0][:, RIGHT_HAND].min() and bottom > top
        assert right > clip[..., 0][:, RIGHT_HAND].max()


def test_the_hands_have_their_own_colours_and_nothing_detected_is_an_empty_picture(clip):
    assert all(not len(drawn(ax)) for ax in plots.frames(undetected(2)).axes if ax.collections)
    clip[:, LEFT_HAND] = clip[:, RIGHT_HAND]
    parts = plots.frames(clip, count=1).axes[0].collections
    seen = {
        tuple(part.get_colors()[0])
        for part in parts
        if all(np.isfinite(path.vertices).all() for path in part.get_paths())
    }
    assert seen == {to_rgba(plots.COLOURS[part]) for part in ("left_hand", "right_hand")}


def test_the_animation_has_every_frame(clip, tmp_path):
    page = plots.animation(clip, "a sign").to_jshtml()
    assert page.count("data:image/png;base64") == 12

    made, shown = plots.animation(clip, "a sign"), []
    (ax,) = made._fig.axes

    def look(*_) -> None:
        shown.append((ax.get_title(), *drawn(ax).max(0)))

    made.save(tmp_path / "clip.gif", writer="pillow", dpi=20, progress_callback=look)
    ends = clip[:, np.unique(EDGES["right_hand"]), :2].max(1)
    for t, (title, *end) in enumerate(shown):
        assert title == f"a sign  frame {t + 1} of 12"
        np.testing.assert_allclose(end, ends[t], rtol=1e-6)
    assert len(shown) == 12


def test_views_draw_a_hands_bones_in_the_middle_frame_and_its_wrist_in_all():
    layout = Layout({"left_hand": LEFT_HAND, "pose": POSE_17})
    xyz, mask = torch.rand(5, len(layout), 3), torch.arange(5) < 3
    ax = plots.views({"as it is": (xyz, mask)}, layout).axes[0]
    bones, pose = ax.collections
    expected = xyz[1, np.array(layout.rows("left_hand"))[np.array(HAND_EDGES)], :2]
    np.testing.assert_array_equal(np.array(bones.get_segments(), np.float32), expected)
    assert len(pose.get_offsets()) == len(POSE_17)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), xyz[:3, layout.rows("left_hand")[0], 0])
    assert ax.yaxis_inverted() and ax.get_title() == "as it is, 3 frames"


def test_lengths_and_gaps():
    figure = plots.lengths_and_gaps(np.array([5, 10, 10, 100]), {"pose": 0.0, "left_hand": 0.4})
    histogram, bars = figure.axes
    assert sum(patch.get_height() for patch in histogram.patches) == 4
    assert [bar.get_width() for bar in bars.patches] == [0, 40]


def test_learning_curves_leave_out_what_was_not_tested():
    history = pd.DataFrame({"epoch": [1, 2, 3], "rate": 0.1, "seconds": 1.0}).assign(
        student_loss=[3.0, 2.0, 1.0],
        student_test_loss=[np.nan, 2.5, 2.0],
        student_accuracy=[np.nan, 0.25, 0.5],
    )
    figure = plots.learning_curves(dict.fromkeys("abcde", history))
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(shown) == 10  # a loss and an accuracy of each; four side by side
    losses, accuracies = shown[0], shown[1] if shown[1].get_ylabel() == "accuracy" else shown[4]
    lines = {line.get_label(): line.get_xydata().tolist() for line in losses.lines}
    assert lines["student, in training"] == [[1, 3], [2, 2], [3, 1]]
    assert lines["student, held-out clips"] == [[2, 2.5], [3, 2]]
    assert {ax.get_ylabel() for ax in shown} == {"loss", "accuracy"}
    assert accuracies.get_xlabel() == "epoch"


def test_bars_of_accuracy_say_their_values():
    (ax,) = plots.accuracies(pd.Series({"a": 0.25, "b": 1.0}), "title").axes
    assert [bar.get_width() for bar in ax.patches] == [100, 25]  # the lowest is the topmost
    assert [text.get_text() for text in ax.texts] == ["100.0", "25.0"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]


def test_a_sign_between_dollars_is_no_formula_and_ten_to_the_power_of_one_is():
    figure = plots.accuracies(pd.Series({r"$\wrong{$": 0.5}), "accuracy")
    figure.draw_without_rendering()  # a formula would be read here, and this is none
    (label,) = figure.axes[0].get_yticklabels()
    assert label.get_text() == r"\$\wrong{\$"  # which matplotlib writes as the sign's name
    lengths = plots.latencies(np.array([1.0, 2.0]), np.array([10, 100])).axes[0]
    assert all(tick.get_parse_math() for tick in lengths.get_xticklabels())


def test_confusions_show_the_pairs_with_counts_and_shares():
    counts = np.array([[8, 2, 0], [0, 5, 5], [0, 0, 0]])
    pairs = pd.DataFrame({"sign": ["cat", "bird"], "predicted": ["dog", "cat"], "clips": [5, 2]})
    figure = plots.confusions(pairs, ["bird", "cat", "dog"], counts)
    matrix = figure.axes[0]
    order = [label.get_text() for label in matrix.get_yticklabels()]
    assert order == ["cat", "bird", "dog"]
    shares = matrix.images[0].get_array()
    np.testing.assert_allclose(shares, [[0.5, 0, 0.5], [0.2, 0.8, 0], [0, 0, 0]])
    assert sorted(text.get_text() for text in matrix.texts) == ["2", "5", "5", "8"]

    figure = plots.confusions(pairs[:0], ["bird"], np.array([[3]]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["no sign was taken for another"]


def test_clips_that_choose_the_epoch_are_no_role():
    history = pd.DataFrame({"epoch": [1], "student_loss": [1.0], "choosing_loss": [2.0]})
    labels = plots.learning_curves({"x": history}).axes[0].get_legend_handles_labels()[1]
    assert labels == ["student, in training", "clips that choose the epoch"]


def test_clips_that_are_left_out_are_red_and_where_none_is_the_title_says_so():
    losses = np.array([1.0, 3.0, 2.0])
    (ax,) = plots.left_out(losses, ["cat", "bird", "dog"], 1).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["bird", "dog", "cat"]
    assert [bar.get_facecolor()[:3] == (0.7, 0.7, 0.7) for bar in ax.patches] == [False, True, True]
    assert ax.get_title() == "left out: the 1 with the largest loss"
    (ax,) = plots.left_out(losses, ["cat", "bird", "dog"], 0).axes
    assert ax.get_title() == "no clip is left out"


def test_latencies_are_drawn_clip_by_clip_with_their_mean():
    (ax,) = plots.latencies(np.array([1.0, 3.0]), np.array([10, 100])).axes
    assert ax.collections[0].get_offsets().tolist() == [[10, 1], [100, 3]]
    assert ax.get_legend().get_texts()[0].get_text() == "mean 2.0 ms"
