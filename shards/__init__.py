"""Everything about shards: packing videos, the order of clips, and reading clips back. Never imports torch."""
