"""What the 1st place's recipe reads."""

import random

import pytest
import torch

from src.clips import Clips
from src.landmarks import N_LANDMARKS
from src.recipes.conv_transformer import FULL, LAYOUT, MAX_LEN
from src.transforms.pipeline import Draw


@pytest.mark.parametrize("n_frames", [3, 30, 494, 900])
def test_reading_drops_unseen_frames_and_keeps_the_first_384_as_they_are(n_frames):
    """In every third frame there is the pose, which is not read; in every ninth a point of the nose
    as well, which keeps the frame."""
    frames, points = torch.rand(n_frames, N_LANDMARKS, 3), [k for (k,) in LAYOUT.points]
    frames[::3, points] = torch.nan
    frames[6::9, 327] = 0.5
    kept = [t for t in range(n_frames) if t % 3 or t % 9 == 6]
    assert n_frames != 494 or len(kept) == MAX_LEN
    expected = frames[kept[:MAX_LEN]][:, points]
    read = FULL.read(frames, range(N_LANDMARKS))
    torch.testing.assert_close(read, expected, rtol=0, atol=0, equal_nan=True)


def test_augmented_clips_are_at_most_384_frames_and_their_features_are_numbers():
    xyz = torch.rand(4, 384, len(LAYOUT), 3, generator=torch.Generator().manual_seed(0))
    xyz[1, :, : len(LAYOUT) // 2] = torch.nan
    mask = torch.arange(384) < torch.tensor([384, 300, 17, 1])[:, None]
    clips, longest = Clips(xyz, mask, torch.zeros(4).long()), 0
    for seed in range(5):
        draw = Draw(torch.Generator().manual_seed(seed), random.Random(seed))
        seen = FULL.augment(clips, LAYOUT, draw)
        features = FULL.features(seen.xyz, seen.mask, LAYOUT)
        assert seen.mask.shape == (4, 384) and features.shape == (4, 384, 708)
        assert features.isfinite().all() and (features[~seen.mask] == 0).all()
        longest = max(longest, seen.length.max())
    assert longest == 384
