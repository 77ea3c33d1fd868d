"""Readouts of frozen encoders: banks of heads that are trained together, ridge, neighbours, temporal networks."""
