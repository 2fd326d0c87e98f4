"""Clip steps: what happens to every clip once, in training and in the exported file alike."""
