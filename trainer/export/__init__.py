"""Weights for others: `surgstream export`, and `load_encoder`, which reads what it wrote."""

from surgstream.trainer.export.folder.reading import PretrainedEncoder, load_encoder

__all__ = ["PretrainedEncoder", "load_encoder"]
