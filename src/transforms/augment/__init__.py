"""Augmentations: batched, on the device, each with its probability per clip.

There is a file per reason to change, named after what moves: all points, a part, a finger, frames.
"""
