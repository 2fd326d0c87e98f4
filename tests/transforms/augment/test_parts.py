"""Exchanging parts: per-clip numpy versions written from the document, and the corner cases."""

import numpy as np
import pytest
import torch

from src.common.errors import InputError
from src.landmarks import NOSE_MEAN, Layout
from src.transforms.augment.parts import FaceCutMix, FillMissingHand, right_handed
from tests.transforms.conftest import FACE, bits, numbered, real

HANDS = ("left_hand", "right_hand")


def filled_by_hand(clip: np.ndarray, layout: Layout) -> np.ndarray:
    """recognition.md 3.3, frame by frame: x' = 2 x_nose - x, y and z copied."""
    out = clip.copy()
    rows = {part: layout.rows(part) for part in HANDS}
    for t, frame in enumerate(clip):
        nose_x = frame[layout.row(NOSE_MEAN), 0]
        for absent, present in (HANDS, HANDS[::-1]):
            gone, there = frame[list(rows[absent])], frame[list(rows[present])]
            if np.isnan(gone).all() and not np.isnan(there).any() and not np.isnan(nose_x):
                there = there.copy()
                there[:, 0] = 2 * nose_x - there[:, 0]
                out[t, list(rows[absent])] = there
    return out


def test_an_absent_hand_is_the_mirror_image_of_the_present_one(clips, layout, draw):
    out, changed = FillMissingHand(1.0)(clips, layout, draw()), 0
    for k in range(len(clips.label)):
        expected = filled_by_hand(real(clips, k), layout)
        np.testing.assert_array_equal(real(out, k), expected)
        changed += not np.array_equal(expected, real(clips, k), equal_nan=True)
    assert changed == 4  # one hand lacking twice, and the two clips with gaps


def test_the_authors_slip_overwrites_the_left_hand_in_every_frame(clips, layout, draw):
    out = FillMissingHand(1.0, overwrite_left=True)(clips, layout, draw())
    left, right = (list(layout.rows(part)) for part in HANDS)
    for k in range(len(clips.label)):
        old, new = real(clips, k), real(out, k)
        # Their code as it runs, on their arrays, in which 0 is missing.
        zeros = np.nan_to_num(old)
        hand = zeros[:, right].copy()
        hand[..., 0] = 2 * zeros[:, layout.row(NOSE_MEAN), None, 0] - hand[..., 0]
        np.testing.assert_array_equal(np.nan_to_num(new[:, left]), hand)
        assert np.isnan(new[:, left][(hand == 0).all(-1)]).all()
        others = [i for i in range(len(layout)) if i not in left]
        np.testing.assert_array_equal(new[:, others], old[:, others])
    # Clip 4 lacks the right hand: the left one becomes a point beside the nose.
    assert (real(out, 4)[:, left, 1:] == 0).any()


def cutmix_by_hand(clip: np.ndarray, donor: np.ndarray, layout: Layout) -> np.ndarray:
    """recognition.md 3.3, one clip at a time; NaN where one of two neighbouring frames is NaN."""

    def missing_frames(of: np.ndarray, part: str) -> int:
        return int(np.isnan(of[:, list(layout.rows(part)), 0]).all(1).sum())

    def is_right(of: np.ndarray) -> bool:
        return missing_frames(of, "right_hand") < missing_frames(of, "left_hand")

    if is_right(donor) != is_right(clip):
        donor = donor[:, list(layout.mirror)] * np.float32([-1, 1, 1])
    rows = list(layout.rows(*FACE))
    face, donated = clip[:, rows], donor[:, rows]
    if np.isnan(face).all() or np.isnan(donated).all():
        return clip
    low, high = np.nanmin(face, (0, 1)), np.nanmax(face, (0, 1))
    donor_low, donor_high = np.nanmin(donated, (0, 1)), np.nanmax(donated, (0, 1))
    if (high == low).any() or (donor_high == donor_low).any():
        return clip
    at = np.linspace(0, len(donor) - 1, len(clip))
    before, after = np.floor(at + 1e-9).astype(int), np.ceil(at - 1e-9).astype(int)
    share = (at - before)[:, None, None]
    frames = donated[before] * (1 - share) + donated[after] * share
    out = clip.copy()
    out[:, rows] = (frames - donor_low) / (donor_high - donor_low) * (high - low) + low
    return out


def test_face_cutmix_is_the_documents_one_clip_at_a_time(clips, donor, layout, draw):
    out, flips = FaceCutMix(1.0, FACE)(clips, layout, draw()), 0
    for k in range(len(clips.label)):
        expected = cutmix_by_hand(real(clips, k), real(donor, k), layout)
        # Float32: a few units in the last place of numbers near 4, stretched once.
        np.testing.assert_allclose(real(out, k), expected, atol=2e-5)
        flips += bool(right_handed(clips, layout)[k] != right_handed(donor, layout)[k])
    assert 0 < flips < len(clips.label)


def test_the_last_frame_is_the_donors_last_at_every_pair_of_lengths(layout, draw):
    """t (M - 1) / (N - 1) must not be rounded into the donor's padding."""
    nose = Layout(
        {**{part: layout.parts[part][:1] for part in HANDS}, "means": (NOSE_MEAN, *NOSE_MEAN[:2])}
    )
    lengths = torch.arange(1, 81)
    for pairs in torch.cartesian_prod(lengths, lengths).split(1600):
        receiver, donor = (numbered(of.tolist(), 81, len(nose)) for of in pairs.T)
        xyz = torch.randn(donor.xyz.shape, generator=torch.Generator().manual_seed(0))
        donor = donor.with_(xyz=torch.where(donor.mask[..., None, None], xyz, torch.nan))
        receiver = receiver.with_(xyz=xyz.flip(0))
        step = FaceCutMix(1.0, ("means",))
        face = step(receiver, nose, draw(donor=donor)).xyz[:, :, list(nose.rows("means"))]
        assert not face[receiver.mask].isnan().any()


@pytest.mark.parametrize("which", ["receiver", "donor"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flat_face_is_left_alone(clips, donor, layout, draw, which, axis):
    """Degenerate boxes have no scale: the clip keeps its bits, and nothing becomes infinite."""
    flat, rows = clips if which == "receiver" else donor, list(layout.rows(*FACE))
    coordinate = flat.xyz[:, :, rows, axis]
    flat.xyz[:, :, rows, axis] = torch.where(coordinate.isnan(), torch.nan, 0.25)
    before = clips.xyz.clone()
    out = FaceCutMix(1.0, FACE)(clips, layout, draw(donor=donor))
    assert torch.equal(bits(out.xyz), bits(before))


def test_without_donors_it_says_so(clips, layout, draw):
    with pytest.raises(InputError, match="FaceCutMix: expected a donor batch"):
        FaceCutMix(1.0, FACE)(clips, layout, draw(donor=None))
