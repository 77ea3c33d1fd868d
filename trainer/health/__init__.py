"""The health of GPUs and network adapters, in preflight and during a run."""
