"""Other loaders, each given the same frames in the layout that it reads fastest. They are not dependencies: see `peers`.

A peer is a module with `write(samples, folder)` and `samples(place, cache, workers)`; importing it imports the package.
"""
