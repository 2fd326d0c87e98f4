"""What holds for every augmentation: p, padding, other clips, draws, what is missing.

A new augmentation is added to `AT`, and is tested by what stands here; those of the sets below `AT`
are tested for less, or for more.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import partial
from importlib import import_module

import pytest
import torch
from torch import Tensor

from src.clips import Clips
from src.landmarks import LEFT_HAND, RIGHT_HAND
from src.transforms import augment
from src.transforms.augment import space
from src.transforms.augment.camera import CameraAngle, Turn
from src.transforms.augment.fingers import BendFingers
from src.transforms.augment.hide import HideBox, HideFrames, HidePoints
from src.transforms.augment.noise import Bend, DetectorErrors, Jitter, ShiftGroups, ShiftPoints
from src.transforms.augment.pace import KeepFrames, Piece, TimeWarp, UnevenSpeed
from src.transforms.augment.parts import FaceCutMix, FillMissingHand
from src.transforms.augment.resample import Resample, Stretch
from src.transforms.augment.sometimes import ByChance, Sometimes
from src.transforms.augment.time import Crop, FillMissing, Window
from src.transforms.pipeline import AugmentationPipeline
from tests.transforms.conftest import FACE, bits, edge_clips


@dataclass(frozen=True)
class FlipAndWarp(AugmentationPipeline):
    flip: space.Flip = space.Flip(1.0)
    warp: TimeWarp = TimeWarp(1.0, low=2.0, high=2.0, min_frames=10, keep=5)


AT: dict[str, Callable[[float], Callable]] = {
    "flip": space.Flip,
    "flip of image coordinates": partial(space.Flip, centre=0.5),
    "rotate": partial(space.Rotate, degrees=60.0),
    "scale": partial(space.Scale, low=0.7, high=1.3),
    "scale and distort": partial(space.Scale, low=0.7, high=1.3, distort_p=0.5),
    "scale and distort by sum": partial(
        space.Scale, low=0.7, high=1.3, distort_p=1.0, distort_by_sum=True
    ),
    "scale of image coordinates": partial(space.Scale, low=0.7, high=1.3, centre=0.5),
    "turn in space": partial(Turn, degrees=(10.0, 20.0, 10.0)),
    "camera angle": partial(CameraAngle, degrees=(10.0, 20.0), distance=3.0, centre=0.5),
    "noise": partial(Jitter, sigma=0.1),
    "detector errors": partial(DetectorErrors, jump=0.1, lose=0.1, lost_frames=3, swap=0.1),
    "hide points": partial(HidePoints, share=0.3),
    "bend": partial(Bend, pull=0.2, reach=0.5),
    "fill missing": FillMissing,
    "crop": partial(Crop, share=0.2, min_frames=20),
    "time warp": partial(TimeWarp, low=1.3, high=1.8, min_frames=10, keep=5),
    "piece": partial(Piece, share=0.5),
    "uneven speed": partial(UnevenSpeed, amount=0.9),
    "groups shifted": partial(ShiftGroups, deviation=0.1, groups=(LEFT_HAND, RIGHT_HAND)),
    "points shifted": partial(ShiftPoints, deviation=0.1),
    "resample": partial(Resample, low=0.5, high=1.5),
    "affine": partial(
        space.ScaleShearRotateShift, low=0.8, high=1.2, shear=0.15, degrees=30.0, shift=0.1
    ),
    "hide frames": partial(HideFrames, low=0.2, high=0.4),
    "hide a box": partial(HideBox, low=0.2, high=0.4),
    "scale, shift, rotate": partial(
        space.ScaleShiftRotate, low=0.8, high=1.5, shift=0.1, degrees=15.0
    ),
    "stretch": partial(Stretch, low=0.8, high=1.5, shift=0.5),
    "bend fingers": partial(BendFingers, joint_p=0.5, degrees=4.0, hands=("left_hand",)),
    "missing hand": FillMissingHand,
    "missing hand, left overwritten": partial(FillMissingHand, overwrite_left=True),
    "face cutmix": partial(FaceCutMix, parts=FACE),
    "all of a group, or nothing": partial(Sometimes, group=FlipAndWarp()),
}
EXTREME = {  # the largest and smallest values that somebody may give them
    "crop of everything": partial(Crop, share=1.0, min_frames=0),
    "time warp that keeps nothing": partial(TimeWarp, low=99.0, high=99.0, min_frames=0, keep=0),
    "parts lost for no frame": partial(DetectorErrors, jump=0.1, lose=1.0, lost_frames=0, swap=1.0),
    "parts lost for ever": partial(DetectorErrors, jump=0.0, lose=1.0, lost_frames=999, swap=1.0),
    "resample to nothing": partial(Resample, low=0.0, high=0.0),
    "stretch to nothing": partial(Stretch, low=0.0, high=0.0, shift=9.0),
    "hide every frame": partial(HideFrames, low=1.0, high=1.0),
    "hide every point": partial(HidePoints, share=1.0),
    "a piece of one frame": partial(Piece, share=0.0),
    "scale to nothing": partial(space.Scale, low=0.0, high=0.0),
}
# The base; in test_time.py, without a probability; in test_pace.py, because it makes gaps.
ELSEWHERE = {ByChance, Window, KeepFrames}
EVERY = pytest.mark.parametrize("at", AT.values(), ids=AT)
SUBTLE = {"uneven speed"}  # a small draw shows every frame where it was
MOVES_FRAMES = {"crop", "resample", "stretch", "time warp", "all of a group, or nothing"}
DRAWS_PER_FRAME = {"noise", "detector errors"}  # more padding gives them other draws
ONLY_MOVES_POINTS = {
    *("rotate", "scale", "scale and distort", "scale and distort by sum"),
    *("scale of image coordinates", "turn in space", "camera angle", "noise", "bend"),
    *("groups shifted", "points shifted", "affine", "scale, shift, rotate", "bend fingers"),
}


def alone(clips: Clips, k: int) -> Clips:
    """Clip k as a batch of one."""
    one = slice(k, k + 1)
    return Clips(clips.xyz[one], clips.mask[one], clips.label[one])


def same_real(a: Clips, b: Clips) -> bool:
    """Equal to the bit in the real frames."""
    n = min(a.mask.shape[1], b.mask.shape[1])
    real = a.mask[:, :n]
    masks = torch.equal(real, b.mask[:, :n]) and a.mask.sum() == b.mask.sum()
    return masks and torch.equal(bits(a.xyz[:, :n][real]), bits(b.xyz[:, :n][real]))


def with_padding(clips: Clips, n_frames: int, fill: Callable[[Tensor], Tensor]) -> Clips:
    """The same clips, padded to another number of frames with other values."""
    n = min(n_frames, clips.mask.shape[1])
    xyz = torch.zeros(len(clips.label), n_frames, *clips.xyz.shape[2:])
    mask = torch.zeros(len(clips.label), n_frames, dtype=torch.bool)
    xyz[:, :n], mask[:, :n] = clips.xyz[:, :n], clips.mask[:, :n]
    return Clips(torch.where(mask[..., None, None], xyz, fill(xyz)), mask, clips.label)


PADDINGS = {
    "zeros": torch.zeros_like,
    "NaN": lambda x: torch.full_like(x, torch.nan),
    "infinity": lambda x: torch.full_like(x, torch.inf),
    "garbage": lambda x: 1e6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(9)),
}


def test_every_augmentation_of_the_package_is_tested_here():
    """Also one that somebody adds: a frozen dataclass with `p`, whatever its base class."""
    package = "src.transforms.augment"
    names = [module.name for module in pkgutil.iter_modules(augment.__path__)]
    there = {
        kind
        for name in names
        for kind in vars(import_module(f"{package}.{name}")).values()
        if is_dataclass(kind) and kind.__module__ == f"{package}.{name}" and "__call__" in dir(kind)
    }
    tested = {type(at(1.0)) for at in AT.values()} | ELSEWHERE
    assert there - tested == set(), "add it to AT"


@EVERY
def test_probability_zero_changes_no_bit(at, clips, layout, draw):
    out = at(0.0)(clips, layout, draw())
    assert torch.equal(bits(out.xyz), bits(clips.xyz)) and torch.equal(out.mask, clips.mask)


@pytest.mark.parametrize("name", AT)
def test_probability_one_changes_something_and_nothing_else(name, clips, layout, draw):
    """Not the input, the labels, the global generator; not what is missing, nor which is real."""
    xyz, mask, state = clips.xyz.clone(), clips.mask.clone(), torch.get_rng_state()
    out = AT[name](1.0)(clips, layout, draw())
    assert not same_real(out, clips)
    assert torch.equal(bits(clips.xyz), bits(xyz)) and torch.equal(clips.mask, mask)
    assert torch.equal(out.label, clips.label) and torch.equal(torch.get_rng_state(), state)
    assert out.xyz.shape[2:] == xyz.shape[2:] and out.xyz.dtype == torch.float32
    assert out.xyz.shape[:2] == out.mask.shape and out.mask.shape[1] >= mask.shape[1]
    if name in ONLY_MOVES_POINTS:
        assert torch.equal(out.xyz.isnan(), xyz.isnan())
    if name not in MOVES_FRAMES:
        assert torch.equal(out.mask, mask)


@EVERY
def test_same_seed_same_bits_other_seed_other_bits(at, clips, layout, draw):
    first, again = (at(0.5)(clips, layout, draw(3)) for _ in range(2))
    assert torch.equal(bits(first.xyz), bits(again.xyz))
    assert any(not same_real(first, at(0.5)(clips, layout, draw(seed))) for seed in (4, 5, 6))


@pytest.mark.parametrize("fill", PADDINGS.values(), ids=PADDINGS)
@pytest.mark.parametrize(
    ("name", "n_frames"),
    [(name, n) for name in AT for n in (40, 41, 64) if n == 40 or name not in DRAWS_PER_FRAME],
)
def test_what_is_padded_and_how_much_of_it_changes_no_real_frame(
    name, fill, n_frames, clips, layout, draw, donor
):
    at, other = AT[name], with_padding(donor, n_frames, fill)
    expected = at(1.0)(clips, layout, draw())
    out = at(1.0)(with_padding(clips, n_frames, fill), layout, draw(donor=other))
    assert same_real(out, expected)


@EVERY
def test_a_clip_is_either_left_to_the_bit_or_changed_whole(at, clips, layout, draw):
    """At p = 0.5 each clip is untouched, or what it becomes at p = 1 with the same draws."""
    outcomes = {k: set() for k in range(len(clips.label))}
    for seed in range(30):
        half, whole = (at(p)(clips, layout, draw(seed)) for p in (0.5, 1.0))
        for k, seen in outcomes.items():
            got, old, new = (alone(batch, k) for batch in (half, clips, whole))
            assert same_real(got, old) or same_real(got, new)
            if not same_real(old, new):
                seen.add(same_real(got, new))
    assert any(outcomes.values())
    assert all(seen in (set(), {True, False}) for seen in outcomes.values())


@EVERY
def test_a_clip_alone_becomes_what_it_becomes_in_company(at, clips, layout, draw, donor):
    """Nothing leaks from one clip to another: exchange all the others, keep the draws."""
    others = clips.xyz.flip(0).nan_to_num(nan=3.0)
    for k in range(len(clips.label)):
        xyz, donor_xyz = others.clone(), donor.xyz.flip(0).nan_to_num(nan=3.0)
        xyz[k], donor_xyz[k] = clips.xyz[k], donor.xyz[k]
        company = at(1.0)(clips.with_(xyz=xyz), layout, draw(donor=donor.with_(xyz=donor_xyz)))
        expected = at(1.0)(clips, layout, draw())
        real = expected.mask[k]
        assert torch.equal(bits(company.xyz[k][real]), bits(expected.xyz[k][real]))


@pytest.mark.parametrize("at", (AT | EXTREME).values(), ids=AT | EXTREME)
@pytest.mark.parametrize("seed", range(3))
def test_answers_are_finite_or_missing_and_every_clip_keeps_a_frame(at, seed, layout, draw):
    clips = edge_clips(seed)
    out = at(1.0)(clips, layout, draw(seed))
    real = out.xyz[out.mask]
    assert (real.isfinite() | real.isnan()).all()
    longer = out.mask.shape[1] / clips.mask.shape[1]  # where there is room for more frames
    assert (out.length >= 1).all() and (out.length <= longer * clips.length).all()
    coordinates = real.isnan().sum(-1)
    assert ((coordinates == 0) | (coordinates == 3)).all()  # a point has all three or none
    prefix = torch.arange(out.mask.shape[1]) < out.length[:, None]
    assert torch.equal(out.mask, prefix)


@pytest.mark.parametrize("name", [name for name in AT if name not in SUBTLE])
@pytest.mark.parametrize("p", [0.25, 0.5])
def test_clips_are_chosen_as_often_as_p_says(name, p, layout, draw):
    """1000 copies of one clip that every augmentation changes, with parts missing now and then."""
    n, k = 1000, 8
    many, donors = (
        Clips(one.xyz.expand(n, -1, -1, -1), one.mask.expand(n, -1), one.label.expand(n))
        for one in (alone(edge_clips(seed, n_frames=28), k) for seed in (0, 1))
    )
    out = AT[name](p)(many, layout, draw(donor=donors))
    first = out.xyz[:, : many.mask.shape[1]]
    moved = (bits(first) != bits(many.xyz)).flatten(1).any(1) | (out.length != many.length)
    # Four standard deviations of the binomial.
    assert abs(moved.sum().item() - n * p) < 4 * (n * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("at", [FillMissingHand, partial(FaceCutMix, parts=FACE)])
def test_until_ends_it_at_that_share_of_the_training(at, clips, layout, draw):
    """recognition.md 3.3: only during the first half."""
    half = at(1.0, until=0.5)
    for progress in (0.5, 0.75, 1.0):
        assert half(clips, layout, draw(progress=progress)) is clips
    before = half(clips, layout, draw(progress=0.4999))
    assert same_real(before, at(1.0)(clips, layout, draw()))
