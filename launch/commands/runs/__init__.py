"""Arguments of commands that train, and what is around it."""
