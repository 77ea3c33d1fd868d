"""Arguments of commands that make, check or look at corpora."""
