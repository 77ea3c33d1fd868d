"""Tasks: what is asked of an encoder, of which videos, and what others have published."""
