"""Source videos: opened, decoded, and turned into frames."""
