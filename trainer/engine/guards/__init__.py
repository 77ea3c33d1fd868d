"""What watches a run: a process that hangs, and losses that leap."""
