"""Downloads the competition's data, and prepares a run for upload as a dataset and three kernels.

Everything is written to folders and checked there; only Kaggle's own command line talks to Kaggle.
"""
