"""How forecasters are trained: tasks, losses, optimisers, the loop, the GAN."""
