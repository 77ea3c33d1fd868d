"""Metrics of maps, pixel by pixel: masks and depth."""
