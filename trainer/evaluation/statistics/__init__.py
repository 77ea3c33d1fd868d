"""Intervals and tests for metrics: what a difference between numbers means."""
