"""Results as people read them: a table, and one page that needs no other file."""
