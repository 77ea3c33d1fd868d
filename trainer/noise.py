"""Clips of noise, for steps that try or measure: without a corpus and without a decoder."""

import numpy as np
import torch

from surgstream.trainer.batch import ClipBatch, ClipName
from surgstream.trainer.config import TrainConfig


def noise_batch(config: TrainConfig, device: torch.device, first_draw: int = 0) -> ClipBatch:
    """Make a micro-batch of noise on the device, strided as the loader's are, for steps that try or measure.

    Args:
        config: The recipe, which has the shape of clips.
        device: The device.
        first_draw: The draw number of the first clip, which also decides the noise.
    """
    encoder = config.objective.encoder
    size = config.micro_batch_size
    shape = (size, encoder.num_frames, 3, encoder.image_size, encoder.image_size)
    generator = torch.Generator(device).manual_seed(first_draw)
    return ClipBatch(
        clips=torch.randn(shape, generator=generator, device=device).transpose(1, 2),
        draws=np.arange(first_draw, first_draw + size),
        names=(ClipName("made", "noise", 0),) * size,
        valid=np.ones(size, bool),
        step_draw=first_draw,
    )
