"""Arguments of commands that measure: machines, and what was trained."""
