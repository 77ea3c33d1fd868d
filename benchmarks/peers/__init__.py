"""Other loaders, each given the same frames in the layout that it reads fastest. None is a dependency.

A peer is a module with `write(samples, folder)` and `samples(place, cache, workers)`, which imports its package.
"""
