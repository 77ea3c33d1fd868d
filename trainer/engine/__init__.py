"""The training loop and what it stands on. Knows `objectives.base` alone."""
