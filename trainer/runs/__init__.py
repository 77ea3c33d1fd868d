"""What a run directory says of its run, to login nodes as well; imports nothing heavy."""
