"""Labels that lie beside the shards, as files of their own, so that a correction packs nothing again."""
