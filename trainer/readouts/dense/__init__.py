"""Heads that say something of each pixel, by the tokens of a frozen encoder: masks and depth."""
