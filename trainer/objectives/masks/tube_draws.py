"""The random draws of a micro-batch, functions of seed and draw number, on its device."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import DecoderConfig, EncoderConfig
from surgstream.trainer.objectives.masks.masking import draw_drop_path_scales, tube_mask


class TubeDraws(NamedTuple):
    """A micro-batch's masks of one kind, and drop paths.

    Attributes:
        visible: (B, V) int64, the tokens that the encoder sees.
        masked: (B, M) int64, the others, or, of blocks, those to predict.
        drop_path_scales: A tensor (B, depth, 2) float32 for each network (see `Block.forward`); None for one that drops
            nothing.
    """

    visible: Tensor
    masked: Tensor
    drop_path_scales: list[Tensor | None]


class TubeMasking(Protocol):
    """The settings of an objective that masks tubes."""

    @property
    def encoder(self) -> EncoderConfig:
        """The first network, whose tubes are masked."""

    @property
    def decoders(self) -> Sequence[DecoderConfig]:
        """The other networks, in their order."""

    @property
    def mask_ratio(self) -> float:
        """Share of tubes that are masked."""


def draw_tubes(config: TubeMasking, seed: int, batch: ClipBatch, *, training: bool) -> TubeDraws:
    """Draw masks and drop paths for a micro-batch.

    Args:
        config: What is masked, and which networks drop paths.
        seed: The run's seed.
        batch: B clips.
        training: Whether residual branches are dropped.
    """
    device = batch.clips.device
    visible, masked = tube_mask(config.encoder.grid, config.mask_ratio, seed, batch.draws)
    drop_path_scales = draw_drop_paths(config, seed, batch, training=training)
    return TubeDraws(to_device(visible, device), to_device(masked, device), drop_path_scales)


def draw_drop_paths(
    config: TubeMasking, seed: int, batch: ClipBatch, *, training: bool
) -> list[Tensor | None]:
    """Draw the drop paths of each network alone; see `draw_tubes`."""
    networks: tuple[EncoderConfig | DecoderConfig, ...] = (config.encoder, *config.decoders)

    drop_path_scales: list[Tensor | None] = []
    for number, network in enumerate(networks):
        if not (training and network.drop_path):
            drop_path_scales.append(None)
            continue
        # Its number gives each network draws of its own
        drawn = draw_drop_path_scales(
            network.drop_path, network.shape.depth, seed, number, batch.draws
        )
        drop_path_scales.append(to_device(drawn, batch.clips.device))
    return drop_path_scales


def to_device(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """Bring what was drawn to the device of the clips, without waiting for it."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
