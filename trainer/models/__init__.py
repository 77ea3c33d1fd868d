"""Networks. They know tensors, not batches, losses or engines."""
