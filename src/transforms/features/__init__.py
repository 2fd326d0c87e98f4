"""Features: what a model reads, made from landmarks. The last step before the model.

A feature is a function of a padded batch; in the exported graph it gets one clip without padding.
Training, evaluation and export call the same functions. Only here a missing landmark, NaN, becomes
a number.
"""
