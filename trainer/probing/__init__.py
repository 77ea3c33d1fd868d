"""What frozen features know, by readouts that are trained on them."""
