"""What things cost, measured: `make bench`, or `python -m surgstream.benchmarks THEME`."""
