"""Features: the numbers that a model reads, made from landmarks in the last step before the model.

A feature is a function of a padded batch; in the exported graph it gets one clip without padding.
Training, evaluation and export call the same functions. Only features turn a missing landmark, NaN,
into a number.
"""
