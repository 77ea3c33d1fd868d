"""Layers of a corpus, such as masks and depth: taken from their sources, packed beside the frames, and checked."""
