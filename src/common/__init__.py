"""What is not about signs: errors, files, folders, checkpoints, marks of finished work."""
