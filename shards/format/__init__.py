"""What a packed corpus is: names, indices, manifest, and the records in them."""
