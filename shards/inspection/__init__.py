"""Looking at a packed corpus: its numbers, its frames, what became of the videos."""
