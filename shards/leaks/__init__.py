"""Finding the same pictures twice, within a corpus or in one that is held out."""
