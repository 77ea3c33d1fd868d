"""From the planned order to the bytes of clips, read ahead, cached and checked."""
