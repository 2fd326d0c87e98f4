"""What knows nothing of signs: errors, files, folders, checkpoints, marks of finished work."""
