"""Features of the frames of a corpus, kept beside its shards."""
