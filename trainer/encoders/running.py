"""A frozen encoder on a device: without gradients, and in bf16 where that is asked for."""

from collections.abc import Callable

import torch
from torch import Tensor

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.config import FrozenConfig


class Runner:
    """Runs a frozen encoder on the clips of a `ClipBatch`.

    Its weights stay in fp32: `bf16` is autocast's, which computes matrix products in it and norms and softmaxes in
    fp32.

    Args:
        encoder: Moved to the device.
        config: `autocast` decides the precision.
        device: The device that clips are on.

    Attributes:
        encoder: The encoder.
        precision: `bf16` or `fp32`, for keys of what is kept of its features.
    """

    def __init__(self, encoder: FrozenEncoder, config: FrozenConfig, device: torch.device) -> None:
        self.encoder = encoder.to(device)
        self._device = device
        self._is_half = config.computes_in_bf16(on_gpu=device.type == "cuda")
        self.precision = "bf16" if self._is_half else "fp32"

    def tokens(self, clips: Tensor) -> Tensor:
        """(B, N, D) float32; see `FrozenEncoder.tokens`."""
        return self._run(self.encoder.tokens, clips)

    def slices(self, clips: Tensor) -> Tensor:
        """(B, S, pooled_dim) float32; see `FrozenEncoder.slices`."""
        return self._run(self.encoder.slices, clips)

    def pooled(self, clips: Tensor) -> Tensor:
        """(B, pooled_dim) float32; see `FrozenEncoder.pooled`."""
        return self._run(self.encoder.pooled, clips)

    @torch.no_grad()
    def _run(self, function: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._is_half):
            features = function(clips)
        return features.float()
