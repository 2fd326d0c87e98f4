"""What trained models are worth: predictions, tables, ensembles, baselines."""
