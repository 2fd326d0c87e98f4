"""Kaggle, from home: the competition's data come down, a run goes up as a dataset and two kernels.

Everything is written to folders and checked there; what talks to Kaggle is its own command line.
"""
