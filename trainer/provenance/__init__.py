"""The papers of a run: what it was made of, and whether it may be used for what it is meant for."""
