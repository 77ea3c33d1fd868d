"""Video files: found, opened, and told from other files."""
