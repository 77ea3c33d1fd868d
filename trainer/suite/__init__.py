"""Suites: tasks under protocols, for several encoders and seeds, and the table that comes of it. Runs without torch."""
