"""How forecasters are trained: task, losses, optimisers, the loop, the GAN."""
