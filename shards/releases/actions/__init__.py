"""Releases that tell which action is seen: triplets, gestures, and clips of one action."""
