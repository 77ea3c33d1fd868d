"""From the bytes of a clip to a batch of pixels on the device."""
