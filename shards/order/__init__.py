"""The order of clips: a pure function of corpus, seed, weights and lanes."""
