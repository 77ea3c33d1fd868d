"""When a run stops before its end: what a rank is told, and how all ranks agree."""
