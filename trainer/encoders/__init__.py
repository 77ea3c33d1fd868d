"""Frozen encoders of any family, behind one interface: ours, published ones, timm's, random ones and raw pixels."""
