"""Predictions of each pixel, and what is true of it: masks and depth, which a layer of the corpus has."""
