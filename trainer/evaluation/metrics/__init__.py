"""Metrics of what was predicted for videos. Each gives a `Statistic`, which the bootstrap computes again and again."""
