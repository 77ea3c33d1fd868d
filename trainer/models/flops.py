"""Counting the arithmetic of a transformer: multiply-adds of its matrix products, from shapes alone.

Norms, activations and positions are left out, as in every published count. One multiply-add is two floating point
operations; a backward pass costs two forward passes, one for the inputs' gradients and one for the weights'.
"""

from torch import nn


def linear_macs(module: nn.Module, num_tokens: int) -> int:
    """Multiply-adds of one forward pass of `num_tokens` tokens through all linear layers of a module."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return num_tokens * sum(layer.in_features * layer.out_features for layer in layers)


def attention_macs(embed_dim: int, depth: int, num_tokens: int) -> int:
    """Multiply-adds of `depth` attentions among `num_tokens` tokens: the scores and the weighted sums."""
    return 2 * num_tokens**2 * embed_dim * depth
