"""How good trained models are: predictions, tables, ensembles, baselines."""
