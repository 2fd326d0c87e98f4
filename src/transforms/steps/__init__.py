"""Clip steps: operations on every clip, done once, in training and in the exported file alike."""
