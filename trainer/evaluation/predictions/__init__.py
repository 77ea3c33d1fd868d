"""Predictions as they are stored: written by us, or by anybody as a CSV file; and matched with labels."""
