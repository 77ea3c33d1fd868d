"""Masks of tokens, and what else is drawn for a micro-batch."""
