"""Training: one flat loop, the models in it, and checkpoints that continue it exactly."""
