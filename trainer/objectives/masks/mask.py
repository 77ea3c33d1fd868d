"""A mask: which tokens an encoder sees, and which are predicted."""

from typing import NamedTuple

from torch import Tensor


class TokenCount(NamedTuple):
    """Tokens of a clip that a mask shows and hides."""

    visible: int
    masked: int


class Mask(NamedTuple):
    """The visible and the masked tokens of a micro-batch under one kind of mask.

    Attributes:
        visible: (B, V) int64, the tokens that the encoder sees.
        masked: (B, M) int64, the tokens to predict.
    """

    visible: Tensor
    masked: Tensor
