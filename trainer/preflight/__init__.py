"""Checks before a run: the nodes, the store, the run directory, the network, the model."""
