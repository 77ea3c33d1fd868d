"""Packing of source videos into shards: planned, packed in parallel, checked and published."""
