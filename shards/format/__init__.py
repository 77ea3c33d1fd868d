"""The format of a packed corpus: names, indices, manifest, and the records in them."""
