"""The training side: clips to batches to steps to checkpoints."""
