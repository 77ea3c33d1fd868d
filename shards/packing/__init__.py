"""From source videos to shards: planned, packed side by side, checked and published."""
