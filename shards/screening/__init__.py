"""Screening of the frames of a video: its borders, and stretches that show no operation."""
