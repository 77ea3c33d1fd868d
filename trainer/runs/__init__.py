"""The state of a run as its directory tells it, on login nodes as well; imports nothing heavy."""
