"""A synthetic surgical corpus with everything known about it, for demos, tests and evaluation work."""
