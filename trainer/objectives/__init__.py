"""The objectives: each objective turns a batch into a loss. One file each."""
