"""The search for copies, measured: `python -m surgstream.benchmarks.experiments.leaks`."""
