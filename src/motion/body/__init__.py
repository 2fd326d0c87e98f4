"""A body in motion: its skeleton, rotations, and the spaces in which a pose is written."""
