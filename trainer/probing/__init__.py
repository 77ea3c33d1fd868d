"""Readouts of frozen features, and how well they predict labels."""
