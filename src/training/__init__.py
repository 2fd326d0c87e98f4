"""Training: one flat loop, the roles of the models in it, and what keeps it exact."""
