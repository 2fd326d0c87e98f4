"""Figures hold what they should; tables and reports say what was measured."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from src.motion.body.kinematics import fill_joints, global_rotations, positions
from src.motion.body.skeleton import EDGES, PREDICTED_NAMES
from src.motion.data.windows import sliding
from src.motion.metrics import FrameErrors
from src.motion.study import bodies, plots, report
from src.motion.study.representations import representation_table


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def body(corpus):
    return bodies.joints_of(torch.from_numpy(corpus.test[0].predicted[:40]))


def errors_of(scale):
    ramp = scale * torch.linspace(0.1, 1, 24).double()
    return FrameErrors(ramp, ramp, ramp, (1 - ramp.clamp(max=1) / 2).expand(9, -1))


def test_joints_are_those_of_the_rotations(corpus):
    """Whatever their scale."""
    predicted = torch.from_numpy(corpus.test[0].predicted[:3]).double()
    expected = positions(global_rotations(fill_joints(predicted)))
    assert np.allclose(bodies.joints_of(predicted * 1.3), expected, atol=1e-6)


def test_stick_figures_draw_both_bodies_from_front_and_side(body):
    figure = bodies.stick_figures(body[:3], body[3:6], [0, 100, 200], "title")
    assert len(figure.axes) == 6
    for column in range(3):
        front, side = figure.axes[column], figure.axes[3 + column]
        assert len([line for line in front.lines if len(line.get_xdata())]) == 2 * len(EDGES)
        parent, child = EDGES[4]
        assert np.allclose(front.lines[4].get_xdata(), body[column, [parent, child], 0])
        assert np.allclose(side.lines[4].get_xdata(), body[column, [parent, child], 2])
    alone = bodies.stick_figures(body[:3], None, [0, 100, 200])
    assert len([line for line in alone.axes[0].lines if len(line.get_xdata())]) == len(EDGES)
    assert [t.get_text() for t in alone.legends[0].get_texts()] == ["true"]
    low, high = figure.axes[0].get_ylim()
    assert low < body[..., 1].min() and body[..., 1].max() < high  # nobody is cut off


def test_the_liveliest_window_is_the_one_that_turns_the_most(corpus):
    """And not the one whose pose is furthest from the T-pose."""
    moving = torch.from_numpy(corpus.test[0].predicted[:10]).double()
    held = torch.from_numpy(Rotation.from_rotvec(np.full((10, 15, 3), 1.5)).as_matrix())
    assert bodies.liveliest(torch.stack([held, moving, held])) == 1


def test_an_animation_becomes_a_gif(body, tmp_path):
    made = bodies.animation(body[:3], body[:5], "title", fps=10.0)
    with Image.open(report.save_animation(tmp_path, "walk", made, fps=10.0)) as image:
        assert image.n_frames == 5 and image.info["duration"] == 100
    made._func(4)  # the truth is over and stays, paler; the prediction goes on
    true, predicted = (ax.collections[0] for ax in made._fig.axes)
    assert true.get_alpha() < predicted.get_alpha() == 1
    for drawn, frame in ((true, body[2]), (predicted, body[4])):
        assert np.allclose(drawn.get_segments(), frame[np.array(EDGES), :2])


def test_long_titles_are_not_cut_off(body):
    """A name of the published lists; its length is usual there."""
    name = "Male2General_c3dGeneral_SB_A9_SB__SB2__SB__SB__SB_Lie_SB_(forward)_SB_t2_dynamics"
    moving = bodies.animation(body[:3], body[:3], f"transformer-lstm, {name}")
    moving._func(1)
    for figure in (moving._fig, bodies.stick_figures(body[:1], None, [0], f"{name}, as read")):
        figure.draw_without_rendering()
        box, title = figure._suptitle.get_window_extent(), figure._suptitle.get_text()
        assert box.x0 > 0 and box.x1 < figure.bbox.x1 and name in title.replace("\n", "")


def test_dollars_in_a_name_are_no_formula(body):
    for title in ("cost_$5_and_$6", r"a_$\wrong$"):
        figure = bodies.stick_figures(body[:1], None, [0], title)
        figure.draw_without_rendering()  # where a formula is understood, or refused
        plain = bodies.stick_figures(body[:1], None, [0], title.replace("$", "S"))
        plain.draw_without_rendering()
        wide, as_text = (f._suptitle.get_window_extent().width for f in (figure, plain))
        assert wide == pytest.approx(as_text, rel=0.1)


@pytest.mark.parametrize(("width", "lines"), [(32, 0), (128, 2)])
def test_the_embedding_has_four_panels_of_joint_times_component_rows(rng, width, lines):
    """And lines about the band of figure 5, where there is one."""
    weights = rng.normal(size=(15, 9, width))
    figure = plots.embedding_panels(weights)
    images = {ax.get_title(): ax.images[0] for ax in figure.axes}
    assert list(images) == ["all", "left", "right", "centre"]
    assert len(figure.axes[0].lines) == lines
    assert images["all"].get_array().shape == (135, width)
    assert np.allclose(images["all"].get_array(), weights.reshape(135, width))
    knee = PREDICTED_NAMES.index("left_knee")
    assert np.allclose(images["left"].get_array()[9:18], weights[knee])
    assert images["centre"].get_array().shape == images["right"].get_array().shape == (45, width)
    for image in images.values():  # white is the largest weight of all panels alike
        assert image.get_clim() == (weights.min(), weights.max())
        assert image.get_cmap().name == "gray"


def test_gradients_are_means_with_their_deviations():
    table = pd.DataFrame({"layer": [1, 2], "mean": [0.0, 1e-4], "std": [1e-3, 2e-3]})
    figure = plots.gradient_grid({"a": table, "b": table, "c": table})
    drawn = [ax for ax in figure.axes if ax.containers]
    assert [ax.get_title() for ax in drawn] == ["a", "b", "c"]
    bars = drawn[0].containers[0].lines[2][0].get_segments()
    assert np.allclose([b[:, 1] for b in bars], [[-1e-3, 1e-3], [-1.9e-3, 2.1e-3]])


def test_the_study_figure_has_a_dot_per_model_and_horizon():
    tables = {f"m{k}": errors_of(k).table() for k in (1, 2)}
    figure = plots.study_table(tables, {"zero velocity": errors_of(3).table()})
    assert len(figure.axes) == 4
    for ax, metric in zip(figure.axes, ("euler", "joint_angle", "positional", "auc"), strict=True):
        for dots, horizon in zip(ax.collections, (100, 200, 300, 400), strict=True):
            expected = [tables[m].loc[metric, horizon] for m in tables]
            assert np.allclose(dots.get_offsets()[:, 0], expected)
        assert ax.lines[0].get_xdata()[0] == errors_of(3).table().loc[metric, 400]
    assert "higher is better" in figure.axes[3].get_xlabel()


def test_curves_show_their_histories():
    history = pd.DataFrame({
        "step": [1, 2], "train_loss": [3.0, 2], "valid_loss": [4.0, 3], "train_mse": [1.0, 0.5],
        "valid_mse": [2.0, 1], "lowest_loss": [1.0, 1], "highest_loss": [9.0, 3],
    })  # fmt: skip
    losses = plots.loss_curves({"a": history, "b": history})
    assert losses.axes[0].lines[0].get_ydata().tolist() == [3, 2]
    alone = plots.loss_curves({"validated once": history[:1]}).axes[0]
    assert all(line.get_marker() == "." for line in alone.lines)  # a line of one point is none
    band = losses.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1, 9)  # single steps
    prior = plots.taxonomy_curves(history, history * 2)
    firsts = [[line.get_ydata()[0] for line in ax.lines] for ax in prior.axes]
    assert firsts == [[1, 2], [2, 4]]  # one quantity a plot


def test_the_critics_curve_starts_at_the_switch():
    history = pd.DataFrame({
        "step": [1, 2, 3, 4], "pretraining": [True, True, False, False],
        "critic_emd": [np.nan, np.nan, 0.1, 0.2], "generator_mse": [0.9, 0.8, 0.7, 0.6],
    })  # fmt: skip
    left, right = plots.gan_curves({"g": history}).axes
    assert left.lines[0].get_ydata().tolist() == [0.9, 0.8, 0.7, 0.6]
    assert list(left.lines[1].get_xdata()) == [2, 2]  # the switch
    assert right.lines[0].get_xdata().tolist() == [3, 4]
    alone = plots.gan_curves({"g": history[2:]})
    assert len(alone.axes[0].lines) == 1  # no pretraining, no switch


def test_table_3_has_the_printed_titles():
    table = report.titles({"10-no-time": errors_of(1.0)})
    assert len(table) == 14
    error = f"{errors_of(1.0).joint_angle.sum():.3f}"
    assert table.loc["10-no-time"].tolist() == ["No Temporal Attn", "12,708,615", error]
    assert table.loc["01-authors", "joint angle at 400 ms"] == "not run"


def test_roll_outs_are_mapped_model_by_second():
    table = pd.DataFrame({"second": [1, 2], "speed": [1.0, np.nan], "drift": [0.1, 1.0],
                          "entropy": [0.2, 0.4]})  # fmt: skip
    figure = plots.rollout_maps({"a": table, "b": table})
    speed, _, entropy = (ax.images[0].get_array() for ax in figure.axes[:3])
    assert np.ma.allclose(entropy, [[0.2, 0.4]] * 2)
    assert np.isnan(np.asarray(speed)[0, 1]) or np.ma.is_masked(speed[0, 1])


def test_bars_and_pck_show_their_values():
    parts = pd.DataFrame({"zero velocity": [0.1, 0.2], "ours": [0.05, 0.1]}, ["left_hand", "pose"])
    figure = plots.part_bars(parts, "units")
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == [0.1, 0.2, 0.05, 0.1]
    curve = plots.pck_curves({"m": torch.linspace(0, 1, 9)})
    assert curve.axes[0].lines[0].get_ydata()[-1] == 1


ERRORS = {"zero velocity": errors_of(2.0), "ridge": errors_of(1.0), "model": errors_of(1.5)}


def test_table_1_has_the_documents_sizes(corpus):
    """5.2, 6.9 and 15.5 GB as printed; axis-angle is smallest."""
    windows = sliding([torch.from_numpy(corpus.test[0].rotations)])[:1]
    table = representation_table(windows)
    assert table["points per joint"].tolist() == [3, 4, 9]
    assert table["size, GiB"].round(1).tolist() == [5.2, 6.9, 15.5]
    assert (table > 0).all(axis=None)


def test_small_bars_of_table_1_stay_visible_beside_a_huge_one():
    """A matrix costs next to nothing to encode: the others would have no bar on a linear axis."""
    table = pd.DataFrame({"size": [5.2, 15.5], "speed": [800.0, 127_000.0]}, ["angle", "matrix"])
    drawn = plots.rotation_table(table)
    assert [ax.get_xscale() for ax in drawn.axes] == ["linear", "log"]
    assert [t.get_text() for t in drawn.axes[1].texts] == ["800", "127,000"]
    low, high = drawn.axes[1].get_xlim()
    assert low < 800 and high > 127_000


def test_tables_and_verdicts_are_the_metrics():
    wide = report.wide_table(ERRORS)
    expected = 1.5 * ERRORS["ridge"].euler[:6].sum().item()
    assert wide.loc["model", "euler 100"] == pytest.approx(expected)
    assert list(wide.columns)[:4] == ["euler 100", "euler 200", "euler 300", "euler 400"]
    verdicts = report.verdicts(wide)
    assert verdicts["beats zero velocity"].tolist() == [False, True, True]
    assert verdicts["beats ridge"].tolist() == [False, False, False]
    assert verdicts.loc["model", "of zero velocity"] == "75%"


def test_a_single_seed_has_a_mean_and_no_deviation():
    errors = errors_of(1.5)
    table = report.spread({"a": [errors], "b": [errors_of(2.0)]})
    assert table.loc["a", "joint_angle 400"] == f"{errors.until(24)['joint_angle']:.3f}"
    assert not table.apply(lambda column: column.str.contains("±")).any(axis=None)


def test_the_authors_weights_are_told_by_one_number_or_by_why_they_are_absent():
    angle = ERRORS["model"].until(24)["joint_angle"]
    assert report.authors_note(ERRORS["model"]) == f"joint angle {angle:.3f} at 400 ms"
    assert report.authors_note("absent: no file") == "absent: no file"


def test_the_report_says_what_it_is_about_and_every_number(tmp_path):
    wide = report.wide_table(ERRORS)
    sizes = pd.DataFrame({"parameters": [7]}, ["model"])
    about = "Profile x; SYNTHETIC motion."
    seeds = report.spread({"model": [errors_of(1.4), errors_of(1.6)]})
    column, mean = f"{seeds['joint_angle 400'].item()}", errors_of(1.5).until(24)["joint_angle"]
    apart = errors_of(0.2 / 2**0.5).until(24)["joint_angle"]  # of two values: difference / sqrt(2)
    assert column == f"{mean:.3f} ± {apart:.3f}"
    path = report.write_report(tmp_path, about, wide, sizes, report.titles({}), seeds, ["a note"])
    text = path.read_text()
    assert column in text and "Gaussian Noise Std = 0.02" in text
    assert "SYNTHETIC motion" in text and "- a note" in text and "| model | 7" in text
    for value in wide.to_numpy().ravel():
        assert f"{round(value, 3)}" in text
    report.save_table(tmp_path, "metrics", wide)
    read = pd.read_csv(tmp_path / "tables" / "metrics.csv", index_col=0)
    assert np.allclose(read, wide)
    listed = report.inventory(tmp_path)
    assert listed.file.tolist() == ["report.md", "tables/metrics.csv"]
    assert listed.bytes.tolist()[0] == len(path.read_bytes())


def test_what_an_earlier_run_showed_goes_and_its_trainings_stay(tmp_path):
    shown = ("report.md", "tables/seeds.csv", "figures/gan_curves.png", "figures/rollout_walk.gif")
    kept = ("gan/best.pt", "gan/metrics.csv", "figures/mine/notes.txt")
    for name in (*shown, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    report.clear(tmp_path)
    assert sorted(report.inventory(tmp_path).file) == sorted(kept)
    report.clear(tmp_path / "new")
