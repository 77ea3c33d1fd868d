"""Pretraining for surgical video foundation models; its rooms are the folders of the same names."""
