"""Stores of bytes: folders and S3 behind one small interface, and their owners, who may write."""
