"""What weights descend from, and whether a task judges them by videos that they have seen."""
