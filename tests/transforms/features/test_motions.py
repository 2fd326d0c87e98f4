"""1st place's features against the document, written out in numpy one clip at a time."""

import warnings

import numpy as np
import pytest
import torch

from src.dataset.clip_file import read_clip
from src.landmarks import LEFT_HAND, LIPS_40, LOWER_LIP, NOSE_4, Layout
from src.recipes.conv_transformer import LAYOUT
from src.transforms.features.motions import PositionsAndMotions

SMALL = Layout({"lips": LIPS_40[:20], "left_hand": LEFT_HAND, "nose": NOSE_4})


def document(xyz: np.ndarray, layout: Layout) -> np.ndarray:
    """anchors.md for one clip (T, L, 3) without padding."""
    with warnings.catch_warnings(action="ignore"):  # of means of nothing
        centre = np.nanmean(xyz[:, layout.row(LOWER_LIP)].astype(float), 0)
        centre = np.where(np.isnan(centre), 0.5, centre)
        deviation = np.sqrt(np.nanmean((xyz - centre) ** 2, (0, 1)))
    xy = ((xyz - centre) / deviation)[..., :2].reshape(len(xyz), -1)
    motions = [np.pad(xy[k:] - xy[:-k], ((0, min(k, len(xy))), (0, 0))) for k in (1, 2)]
    return np.nan_to_num(np.concatenate([xy, *motions], 1), nan=0.0)


@pytest.mark.parametrize("padding", [np.nan, 0.0, 7.0, np.inf])
def test_features_are_the_documents_whatever_is_padded(padding):
    """In image coordinates; each hand and now and then all of it is missing. The last has no face,
    as all of wlasl50: the middle of the image is its centre."""
    rng, lengths = np.random.default_rng(0), [30, 1, 7, 2, 3, 21, 9]
    xyz = np.full((7, 30, len(SMALL), 3), padding, np.float32)
    for k, length in enumerate(lengths):
        clip = rng.uniform(0.2, 0.9, (length, len(SMALL), 3))
        clip[rng.random(length) < 0.3] = np.nan
        clip[np.ix_(rng.random(length) < 0.5, SMALL.rows("left_hand"))] = np.nan
        clip[rng.random((length, len(SMALL))) < 0.1] = np.nan
        xyz[k, :length] = clip
    xyz[-1, :length, list(SMALL.rows("lips", "nose"))] = np.nan
    mask = torch.arange(30) < torch.tensor(lengths)[:, None]
    features = PositionsAndMotions()(torch.from_numpy(xyz), mask, SMALL)
    assert features.shape == (7, 30, 6 * len(SMALL))
    for k, length in enumerate(lengths):
        expected = document(xyz[k, :length], SMALL)
        # Float32 against float64, of numbers up to 5.
        np.testing.assert_allclose(features[k, :length], expected, rtol=1e-4, atol=1e-5)
        assert (features[k, length:] == 0).all()


def test_a_clip_of_nothing_is_zero_and_one_point_is_finite():
    nothing = torch.full((1, 7, len(SMALL), 3), torch.nan)
    assert (PositionsAndMotions()(nothing, None, SMALL) == 0).all()
    lip = nothing.clone()
    lip[0, 2, SMALL.row(LOWER_LIP)] = 0.37  # it is the centre, and its deviation is 0
    assert (PositionsAndMotions()(lip, None, SMALL) == 0).all()
    lip[0, :, SMALL.row(LOWER_LIP)] = 0.37  # their mean is 0.37 but for its last bit
    assert PositionsAndMotions()(lip, None, SMALL).abs().max() < 0.1
    tip = nothing.clone()
    tip[0, 2, SMALL.rows("left_hand")[8]] = 0.37  # at one deviation from the middle
    features = PositionsAndMotions()(tip, None, SMALL)
    torch.testing.assert_close(features[features != 0], torch.tensor([-1.0, -1.0]))


@pytest.mark.reference
@pytest.mark.parametrize("name", ["asl_signs", "wlasl50", "webcam34"])
def test_features_of_genuine_clips_are_the_documents(name, reference):
    columns = [k for point in LAYOUT.points for k in point]
    paths = sorted(reference(name).glob("train_landmark_files/*/*.parquet"))
    for path in paths[:: max(1, len(paths) // 8)]:
        xyz = read_clip(path, columns)
        features = PositionsAndMotions()(torch.from_numpy(xyz)[None], None, LAYOUT)[0]
        assert features.shape == (len(xyz), 708)
        np.testing.assert_allclose(features, document(xyz, LAYOUT), rtol=1e-3, atol=1e-4)
