"""Measurements of costs: `make bench`, or `python -m surgstream.benchmarks THEME`."""
