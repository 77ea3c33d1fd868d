"""A run's checkpoints in a second place, a store or a folder, for when the run directory is lost."""
