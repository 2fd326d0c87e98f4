"""From a trained run to a submission: the file, the report, the model card, what members cost."""
