"""Video files: found, opened, and told from what is none."""
