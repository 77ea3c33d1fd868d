"""Face detectors, measured: `python -m surgstream.benchmarks.experiments.faces`."""
