"""A training that takes a second, for tests of what happens around it."""

from dataclasses import replace

from src.recipes import hand_bert

RECIPE = replace(
    hand_bert.BERT,
    name="tiny",
    model=hand_bert.Config(layers=1, width=8, inner=8, heads=2),
    epochs=3,
    batch_size=8,
)
