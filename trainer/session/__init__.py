"""A process of a run, from its start to its end: its log, the run directory that it owns, the other ranks."""
