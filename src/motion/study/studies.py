"""The fourteen studies of the document's Table 3, as changes to the published model.

Where the text leaves a study open, the Reading is in the comment on the config's field or, for
study 14, in the docstring of models/st_conv.py. Study 01 is about the authors' own weights (see
pretrained.py) and has the layer norm that they were trained with.
"""

from dataclasses import dataclass

from src.motion.models import st_conv, st_transformer

Model = st_transformer.Config | st_conv.Config


@dataclass(frozen=True)
class Study:
    """One row of Table 3."""

    name: str  # for `STUDIES` of a run, and the name of its folder there
    title: str  # as printed
    model: Model  # at the published size
    parameters: int  # derived in motion.md; those of study 14 follow from the Reading


_BASE = 18_256_647
_OWN_KEYS = 21_955_335
_C = st_transformer.Config
_SAME_FORM = _C(blocks=("pose time", "own space"))

STUDIES = (
    Study("01-authors", "Original - Ran by Authors", _C(norm="sample"), _BASE),
    Study("02-original", "Original - Ran by Us", _C(), _BASE),
    Study("03-relation", "Joint Relation Embedding 1", _C(joint_relation="fixed"), _BASE),
    Study("04-relation", "Joint Relation Embedding 2", _C(joint_relation="learned"), _BASE + 1920),
    Study("05-noise-0.02", "Gaussian Noise Std = 0.02", _C(noise=0.02), _BASE),
    Study("06-noise-0.1", "Gaussian Noise Std = 0.1", _C(noise=0.1), _BASE),
    Study(
        "07-own-keys", "Individual Spatial Keys & Values",
        _C(blocks=("joint time", "own space")), _OWN_KEYS,
    ),
    Study("08-same-form", "Same Temporal & Spatial Architecture", _SAME_FORM, _OWN_KEYS),
    Study(
        "09-additional", "Additional Temp. & Spat. Architecture Exp",
        _C(blocks=("pose time", "shared space")), _BASE,
    ),
    Study("10-no-time", "No Temporal Attn", _C(blocks=("shared space",) * 2), 12_708_615),
    Study("11-no-space", "No Spatial Attn", _C(blocks=("joint time",) * 2), 23_804_679),
    Study("12-no-positions", "No Positional Encoding", _C(positions=False), _BASE),
    Study("13-seven-layers", "7 Attn Layers", _C(layers=7), 15_979_143),
    Study("14-convolution", "simpler ST and Convo", st_conv.Config(), 23_811_767),
)  # fmt: skip
