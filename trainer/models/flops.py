"""Counting the arithmetic of a transformer: multiply-adds of its matrix products, from shapes alone.

Norms, activations and positions are left out, as in every published count. One multiply-add is two floating point
operations; a backward pass costs two forward passes, one for the inputs' gradients and one for the weights'.
"""

from typing import Protocol

from torch import nn

from surgstream.trainer.models.config import TransformerShape


def linear_macs(module: nn.Module, num_tokens: int) -> int:
    """Multiply-adds of one forward pass of `num_tokens` tokens through all linear layers of a module."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return num_tokens * sum(layer.in_features * layer.out_features for layer in layers)


def attention_macs(embed_dim: int, depth: int, num_tokens: int) -> int:
    """Multiply-adds of `depth` attentions among `num_tokens` tokens: the scores and the weighted sums."""
    return 2 * num_tokens**2 * embed_dim * depth


class Decoding(Protocol):
    """A network from encoded visible tokens to a prediction of every masked one."""

    shape: TransformerShape
    head: nn.Linear

    @property
    def projection(self) -> nn.Module:
        """From the encoder's width to its own."""

    @property
    def blocks(self) -> nn.Module:
        """The transformer between both."""


def decoding_flops(network: Decoding, num_visible: int, num_masked: int) -> int:
    """Floating point operations of a forward and a backward pass of one clip through such a network."""
    num_tokens = num_visible + num_masked
    linear = linear_macs(network.blocks, num_tokens)
    attention = attention_macs(network.shape.embed_dim, network.shape.depth, num_tokens)
    projection = linear_macs(network.projection, num_visible)
    head = linear_macs(network.head, num_masked)
    return 2 * 3 * (linear + attention + projection + head)
