"""Turns the bytes of clips into batches of pixels on the device."""
