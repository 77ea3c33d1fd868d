"""Which clip is drawn when: a pure function of corpus, seed, weights and lanes."""
