"""From a readout to the network of a dense head."""

import torch

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.readouts.bank_config import DenseConfig, DenseLinearConfig
from surgstream.trainer.readouts.dense.heads import (
    CopiedNetwork,
    DenseLinear,
    DenseNetwork,
    DensePyramid,
    DepthOfBins,
)


def build_dense(
    config: DenseConfig,
    encoder: FrozenEncoder,
    num_outputs: int,
    distances: tuple[float, float] | None,
    generator: torch.Generator,
) -> CopiedNetwork:
    """Build one copy of a dense head for an encoder.

    Args:
        config: The readout.
        encoder: The encoder.
        num_outputs: Numbers a place.
        distances: The nearest and the farthest that a head of depth can predict, in mm; None of masks.
        generator: The only source of randomness.
    """
    grid = encoder.grid
    shape = (1, encoder.embed_dim, grid.rows, grid.columns)
    # Modules draw default weights when they are made, from the global generator
    with torch.random.fork_rng(devices=[]):
        if isinstance(config, DenseLinearConfig):
            layers: DenseLinear | DensePyramid = DenseLinear(encoder.embed_dim, num_outputs)
            tokens = (1, *shape)
        else:
            layers = DensePyramid(encoder.embed_dim, num_outputs, config.layer_widths, config.width)
            tokens = (4, *shape)
        network: DenseNetwork = DepthOfBins(layers, *distances) if distances else layers

    network.initialise(generator)
    return CopiedNetwork(network, tokens)
