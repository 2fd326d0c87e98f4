"""The 24 SMPL joints, the fifteen of them that are predicted, their bones and mirror partners.

The only file of the motion system with joint numbers.

- Reading: the pelvis is not among the fifteen, so the parent of both hips and of the lowest spine
  joint is missing; `ADJACENCY` links these three to one another.
- Bone offsets are the rest joints of the neutral SMPL body as printed in fairmotion
  (`fairmotion/data/amass_dip.py`, BSD-3). Their unit is the left thigh's length, in which both code
  bases measure positions.
"""

import numpy as np

JOINTS = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2"),
    *("left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar"),
    *("right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist", "left_hand", "right_hand"),
)
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
PREDICTED = (1, 2, 3, 4, 5, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19)
PREDICTED_NAMES = tuple(JOINTS[j] for j in PREDICTED)
EDGES = tuple((PARENTS[j], j) for j in range(1, len(JOINTS)))  # bones to draw

# Joints in the rest pose, metres, y up, the body facing z.
_REST = np.array(
    [
        [-8.76308970e-04, -2.11418723e-01, 2.78211200e-02],
        [7.04848876e-02, -3.01002533e-01, 1.97749280e-02],
        [-6.98883278e-02, -3.00379160e-01, 2.30254335e-02],
        [-3.38451650e-03, -1.08161861e-01, 5.63597909e-03],
        [1.01153808e-01, -6.65211904e-01, 1.30860155e-02],
        [-1.06040718e-01, -6.71029623e-01, 1.38401121e-02],
        [1.96440985e-04, 1.94957852e-02, 3.92296547e-03],
        [8.95999143e-02, -1.04856032e00, -3.04155922e-02],
        [-9.20120818e-02, -1.05466743e00, -2.80514913e-02],
        [2.22362284e-03, 6.85680141e-02, 3.17901760e-02],
        [1.12937580e-01, -1.10320516e00, 8.39545265e-02],
        [-1.14055299e-01, -1.10107698e00, 8.98482216e-02],
        [2.60992373e-04, 2.76811197e-01, -1.79753042e-02],
        [7.75218998e-02, 1.86348444e-01, -5.08464100e-03],
        [-7.48091986e-02, 1.84174211e-01, -1.00204779e-02],
        [3.77815350e-03, 3.39133394e-01, 3.22299558e-02],
        [1.62839013e-01, 2.18087461e-01, -1.23774789e-02],
        [-1.64012068e-01, 2.16959041e-01, -1.98226746e-02],
        [4.14086325e-01, 2.06120683e-01, -3.98959248e-02],
        [-4.10001734e-01, 2.03806676e-01, -3.99843890e-02],
        [6.52105424e-01, 2.15127546e-01, -3.98521818e-02],
        [-6.55178550e-01, 2.12428626e-01, -4.35159074e-02],
        [7.31773168e-01, 2.05445019e-01, -5.30577698e-02],
        [-7.35578759e-01, 2.05180646e-01, -5.39352281e-02],
    ]
)
OFFSETS = _REST - _REST[list(PARENTS)]  # (24, 3) thigh lengths, from parent to joint
OFFSETS[0] = 0  # the root is at the origin, because translation is not predicted
OFFSETS /= np.linalg.norm(OFFSETS[JOINTS.index("left_knee")])


def _partner(name: str) -> str:
    other = {"left": "right", "right": "left"}
    return "_".join(other.get(word, word) for word in name.split("_"))


MIRROR = tuple(JOINTS.index(_partner(name)) for name in JOINTS)

# The panels of the document's Fig. 5, as positions among the fifteen; LEFT and RIGHT in one order.
_LIMBS = ("hip", "knee", "collar", "shoulder", "elbow")
LEFT = tuple(PREDICTED_NAMES.index(f"left_{limb}") for limb in _LIMBS)
RIGHT = tuple(PREDICTED_NAMES.index(f"right_{limb}") for limb in _LIMBS)
CENTRE = tuple(PREDICTED_NAMES.index(n) for n in ("spine1", "spine2", "spine3", "neck", "head"))


_CHILD_OF = np.equal.outer([PARENTS[j] for j in PREDICTED], PREDICTED)  # (15, 15)
_PARENTLESS = ~_CHILD_OF.any(1)
_LINKED = _CHILD_OF | _CHILD_OF.T | np.outer(_PARENTLESS, _PARENTLESS)
# (15, 15): 1 for a joint itself and for its neighbours; used by studies 03 and 04
ADJACENCY = (_LINKED | np.eye(len(PREDICTED), dtype=bool)).astype(np.float32)
