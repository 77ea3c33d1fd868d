"""Exports on the Hub of Hugging Face: what would be sent, and how it is. It runs without torch."""
