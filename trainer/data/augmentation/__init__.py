"""Augmentations, each one's draws as pure functions of (seed, draw), and what they do to pixels on the device."""
