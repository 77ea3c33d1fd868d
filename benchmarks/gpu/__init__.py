"""Questions that only a GPU answers, each in a process of its own: `python -m surgstream.benchmarks.gpu`."""
