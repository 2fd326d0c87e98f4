"""Augmentation within a hand: fingers bend a little, bones keep their lengths.

Letters: **B** batch, **T** frames, **L** points.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import FINGERS, Layout
from src.transforms.augment.sometimes import where_chosen
from src.transforms.pipeline import Draw, index

_FINGERS, _BONES = len(FINGERS), len(FINGERS[0]) - 1
_ALONG = tuple(point for finger in FINGERS for point in finger)  # each begins at the wrist
_MOVED = tuple(point for finger in FINGERS for point in finger[1:])


def bent(
    hand: Float[Tensor, "B T 21 3"], angle: Float[Tensor, "B 5 4"]
) -> Float[Tensor, "B T 21 3"]:
    """Turn the rest of each finger about each joint, in the image plane; z stays.

    The turns follow one another from the wrist outwards, each about the joint's new place. Turns in
    a plane add up, so a bone is turned by the sum of the angles of the joints before it. `angle` is
    in radians: for each finger, first at the wrist, then at the joints outwards.
    """
    along = hand[:, :, index(_ALONG, hand.device), :2].unflatten(2, (_FINGERS, _BONES + 1))
    x, y = along.diff(dim=3).unbind(-1)  # of each bone, (B, T, 5, 4)
    turn = angle.cumsum(-1)[:, None]
    cos, sin = turn.cos(), turn.sin()
    turned = torch.stack([(cos - 1) * x - sin * y, sin * x + (cos - 1) * y], -1)
    moved_by = turned.cumsum(3).flatten(2, 3)  # (B, T, 20, 2): the bones add up to the points
    new = hand.clone()  # the wrist stays
    new[:, :, index(_MOVED, hand.device), :2] += moved_by
    return new


@dataclass(frozen=True)
class BendFingers:
    """Turn the rest of a finger about some of its joints, by a random angle at each.

    The part of a finger beyond a joint is a tree: a hand has 20, five of them at the wrist. The
    angles, from U(-degrees, degrees), hold for the whole clip. Source: 2nd place's
    random_hand_op_h4.

    Args:
        p: probability per clip and hand.
        joint_p: probability per tree.
    """

    p: float
    joint_p: float
    degrees: float
    hands: tuple[str, ...] = ("left_hand", "right_hand")

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        n, limit = len(clips.label), math.radians(self.degrees)
        new = clips.xyz.clone()
        for part in self.hands:
            rows = index(layout.rows(part), clips.xyz.device)
            chosen = draw.chance(self.p, n)
            angle = draw.uniform(n, _FINGERS, _BONES, low=-limit, high=limit)
            angle = torch.where(draw.chance(self.joint_p, n, _FINGERS, _BONES), angle, 0.0)
            hand = clips.xyz[:, :, rows]
            new[:, :, rows] = where_chosen(chosen, bent(hand, angle), hand)
        return clips.with_(xyz=new)
