"""How the 26th place's recipe reads a clip, against the document."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from src.dataset import clip_file
from src.recipes.llama import LAYOUT, MAX_LEN, SINGLE
from src.transforms.steps.frames import Subsample


def test_the_files_of_the_authors_resize_long_clips_and_ours_can():
    """recognition.md 2.6; in training, tests and file at once."""
    resizing = replace(SINGLE, clip=replace(SINGLE.clip, limit=Subsample(MAX_LEN)))
    rows = torch.rand(700, 543, 3, generator=torch.Generator().manual_seed(0))
    whole, resized = (recipe.read(rows, range(543)) for recipe in (SINGLE, resizing))
    assert len(whole) == 700
    assert torch.equal(resized, whole[[i * 700 // 512 for i in range(512)]])


@pytest.mark.reference
def test_genuine_clips_are_read_as_recognition_2_2_says(reference):
    paths = sorted(reference("asl_signs").glob("train_landmark_files/*/*.parquet"))[::9]
    assert paths
    for path in paths:
        frames = clip_file.read_clip(path)
        chosen = frames[:, [k for (k,) in LAYOUT.points]].astype(np.float64)
        head = frames[:, [*LAYOUT.parts["face"], *LAYOUT.parts["pose_head"]]].reshape(-1, 3)
        centre = head[~np.isnan(head).any(1)].mean(0, dtype=np.float64)
        expected = np.nan_to_num(chosen - centre)[..., :2]
        xyz = SINGLE.read(torch.from_numpy(frames), range(frames.shape[1]))
        features = SINGLE.features(xyz[None], None, LAYOUT)[0].numpy()
        np.testing.assert_allclose(features, expected, atol=1e-5, err_msg=str(path))  # float32


@pytest.mark.reference
def test_clips_without_a_face_are_centred_on_the_pose(reference):
    """As in these few-shot clips: of the head only the nose and eyes of the pose are there."""
    path = next(reference("wlasl50").glob("train_landmark_files/*/*.parquet"))
    frames = clip_file.read_clip(path)
    assert np.isnan(frames[:, list(LAYOUT.parts["face"])]).all()
    xyz = SINGLE.read(torch.from_numpy(frames), range(frames.shape[1]))
    head = xyz[:, list(LAYOUT.rows("pose_head"))].flatten(0, 1)
    assert head[~head.isnan().any(1)].mean(0).abs().max() < 1e-5
