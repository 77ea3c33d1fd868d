"""The rate of large matrix products: what a device can do at most of the arithmetic that a model is made of."""

import time

import torch

_SIZES = {"cuda": (8192, 50), "cpu": (2048, 4)}  # rows and columns, and products a run
_TRIES = 5


class Products:
    """Products of two square matrices of noise.

    Args:
        device: The device of the matrices.
        dtype: The type of the matrices.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        size, self._count = _SIZES[device.type]
        self._left, self._right = torch.randn(2, size, size, device=device).to(dtype)
        self.name = f"{str(dtype).removeprefix('torch.')} products of {size} x {size}"
        self.flops = self._count * 2 * size**3

    def run(self) -> int:
        """Multiply, and wait for it; returns the floating point operations done."""
        for _ in range(self._count):
            product = self._left @ self._right
        product[0, 0].item()
        return self.flops

    def best_rate(self) -> float:
        """The best of some runs, in FLOP/s: the others were disturbed."""
        self.run()
        rates = []
        for _ in range(_TRIES):
            started = time.perf_counter()
            rates.append(self.run() / (time.perf_counter() - started))
        return max(rates)
