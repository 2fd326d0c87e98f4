"""Features: what a model reads, made from landmarks. The last step before the model.

Features are functions of a padded batch, and of one clip without padding when they are exported;
training, evaluation and the exported graph call the same ones. Only here does a missing landmark
become a number.
"""
