"""Releases that tell which phase or step of an operation is under way."""
