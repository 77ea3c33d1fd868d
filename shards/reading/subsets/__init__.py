"""Subsets of a corpus: some of its clips, by the frames that they end with."""
