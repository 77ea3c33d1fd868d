"""The memory that a bank takes, told before it is trained."""

import logging

import torch

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.errors import ModelError
from surgstream.trainer.readouts.bank_config import (
    AttentiveConfig,
    DenseConfig,
    DenseLinearConfig,
    LinearConfig,
)
from surgstream.trainer.readouts.banks.bank import HeadBank

log = logging.getLogger(__name__)

GIB = 2**30

_FREE_SHARE = 0.8
"""What activations may take of the memory that is free: the rest is for the encoder's own and for fragments."""

_COPIES = 4
"""Weights, gradients and both moments."""

_MAPS_OF_LOSS = 24
"""Maps of the size of the input that losses keep of an image."""


def activation_bytes(
    config: AttentiveConfig | LinearConfig, encoder: FrozenEncoder, num_clips: int, width_bytes: int
) -> int:
    """Estimate the bytes that one head keeps of a micro-batch for its backward pass.

    Of each token a block of self-attention keeps, in widths D: two norms' inputs, normed in fp32 and scaled (twice 3);
    queries, keys and values, what is attended, and the MLP's hidden layer before and after GELU. The query's block
    keeps what it makes of the tokens: the norm's, keys and values.

    Args:
        config: The readout.
        encoder: The encoder.
        num_clips: Clips of a micro-batch.
        width_bytes: Bytes of a number in matrix products: 2 in bf16, 4 in fp32.
    """
    if isinstance(config, LinearConfig):
        return 4 * num_clips * encoder.pooled_dim

    norms = 3 * 4
    products = (6 + 2 * config.mlp_ratio) * width_bytes
    of_block = 2 * norms + products
    of_query = norms + 2 * width_bytes
    per_token = encoder.embed_dim * (config.self_blocks * of_block + of_query)
    return round(num_clips * encoder.grid.num_tokens * per_token)


def dense_bytes(config: DenseConfig, encoder: FrozenEncoder, num_clips: int) -> int:
    """Estimate the bytes that one dense head keeps of a micro-batch for its backward pass, its maps in fp32.

    DPT keeps some twelve maps of `width` at 16 places a token, and as many a quarter and a sixteenth as large.

    Args:
        config: The readout.
        encoder: The encoder.
        num_clips: Clips of a micro-batch.
    """
    num_places = encoder.grid.num_tubes
    of_pixels = 4 * _MAPS_OF_LOSS * num_clips * encoder.image_size**2
    if isinstance(config, DenseLinearConfig):
        return of_pixels + 4 * num_clips * num_places * encoder.embed_dim
    return of_pixels + round(4 * num_clips * num_places * config.width * 12 * 16 * 4 / 3)


def tell_memory(bank: HeadBank, of_activations: int) -> None:
    """Log what a bank takes."""
    log.info(
        "%d heads of %.2f million parameters: %.2f GiB of weights, gradients and moments, and "
        "%.2f GiB of activations, %d heads at once",
        bank.num_heads,
        bank.parameters_per_head / 1e6,
        _COPIES * bank.weights.flat.nbytes / GIB,
        bank.heads_at_once * of_activations / GIB,
        bank.heads_at_once,
    )


def fitting_heads(num_heads: int, of_head: int, of_activations: int, device: torch.device) -> int:
    """Find how many heads fit at once into what is free of a GPU's memory; all of them on a CPU.

    Args:
        num_heads: Heads of the bank.
        of_head: Bytes of one head's weights.
        of_activations: Bytes that one head keeps of a micro-batch.
        device: The device.

    Raises:
        ModelError: Not even one does.
    """
    if device.type != "cuda":
        return num_heads

    free, _ = torch.cuda.mem_get_info(device)
    left = _FREE_SHARE * free - _COPIES * num_heads * of_head
    fitting = int(left // (of_activations + of_head))
    if fitting < 1:
        needed = (_COPIES * num_heads * of_head + of_activations) / GIB
        raise ModelError(
            f"readout: expected {needed:.1f} GiB of free GPU memory for {num_heads} heads, got "
            f"{free / GIB:.1f}; take fewer readout.grid.lrs, or a lower micro_batch_size"
        )
    return min(num_heads, fitting)
