"""Other ways to do what surgstream does, one module each, given the same frames: `pip install 'surgstream[peers]'`.

A loader is a module with `write(samples, folder)` and `samples(place, cache, workers)`, which imports its package.
"""
