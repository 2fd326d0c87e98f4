"""The networks: one file per family, and the layers they share. No data files, no recipes."""

from __future__ import annotations

from torch import nn

from src.landmarks import Layout
from src.models import conv_transformer, frame_deberta, hand_bert, hierarchical, llama


def build(config: object, layout: Layout, classes: int) -> nn.Module:
    """The network of a config, freshly initialised.

    Raises:
        TypeError: no family has a config of this type.
    """
    match config:
        case frame_deberta.Config():
            return frame_deberta.FrameDeberta(config, layout, classes)
        case hand_bert.Config():
            return hand_bert.HandBert(config, layout, classes)
        case conv_transformer.Config():
            return conv_transformer.ConvTransformer(config, layout, classes)
        case llama.Config():
            return llama.Llama(config, layout, classes)
        case hierarchical.Config():
            return hierarchical.Hierarchical(config, layout, classes)
    raise TypeError(f"no network for a config of type {type(config).__qualname__}")
