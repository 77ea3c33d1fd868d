"""What an encoder takes, one clip after another, as where each frame is to be answered as it comes."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.encoders.running import Runner
from surgstream.trainer.runs.costs import EncoderCost

_NUM_PASSES = 5
_ENOUGH_SECONDS = 60.0
"""After so long no other pass begins: on a CPU one of a large encoder takes minutes, and other ranks wait."""


def measure_cost(runner: Runner, rank_info: RankInfo) -> EncoderCost:
    """What a frozen encoder takes, in the precision that it is run in; see `measure_passes`."""
    encoder = runner.encoder
    return measure_passes(runner.tokens, encoder, encoder.num_frames, encoder.image_size, rank_info)


def measure_passes(
    encode: Callable[[Tensor], object],
    encoder: nn.Module,
    num_frames: int,
    image_size: int,
    rank_info: RankInfo,
) -> EncoderCost:
    """Count an encoder's parameters, and time its forward pass of one clip: the median of five, after one to warm up.

    Where passes take long, it is the median of those that begin within a minute; of one alone, that one.

    Args:
        encode: From clips (1, 3, T, H, W) on the rank's device to anything.
        encoder: The encoder, whose parameters are counted.
        num_frames: T.
        image_size: H and W.
        rank_info: This rank's place.
    """
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(1, 3, num_frames, image_size, image_size, generator=generator)
    clip = clip.to(rank_info.device)

    with torch.no_grad():
        warm_up = _timed(encode, clip)
        seconds: list[float] = []
        while len(seconds) < _NUM_PASSES and warm_up + sum(seconds) < _ENOUGH_SECONDS:
            seconds.append(_timed(encode, clip))
    return EncoderCost(
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        num_frames=num_frames,
        ms_per_clip=1e3 * statistics.median(seconds or [warm_up]),
        device=rank_info.device_name,
    )


def _timed(encode: Callable[[Tensor], object], clip: Tensor) -> float:
    began = time.perf_counter()
    encode(clip)
    if clip.is_cuda:
        torch.cuda.synchronize(clip.device)
    return time.perf_counter() - began
