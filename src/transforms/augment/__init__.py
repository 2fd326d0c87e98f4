"""Augmentations: batched, on the device, each with its probability per clip.

A file per reason to change, named for what it moves: all points alike, a part, a finger, frames.
"""
