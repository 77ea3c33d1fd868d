"""The kernels of scaled dot-product attention, timed at the shapes of the published recipes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from surgstream.benchmarks.gpu.findings import DEVICE, ON_GPU, report, seconds_of

_BACKWARD = 2.5
"""Operations of a backward pass over those of a forward pass."""


@dataclass(frozen=True)
class Shape:
    """Attention of one network.

    Attributes:
        batch: Sequences.
        heads: Heads.
        tokens: Tokens of a sequence.
        width: Features of a head.
        trained: Whether gradients are taken.
    """

    batch: int
    heads: int
    tokens: int
    width: int
    trained: bool

    @property
    def flops(self) -> float:
        """Floating point operations of the two products, and of their gradients."""
        forward = 4 * self.batch * self.heads * self.tokens**2 * self.width
        return forward * (1 + _BACKWARD * self.trained)


GPU_SHAPES = {
    "teacher": Shape(512, 16, 197, 64, trained=False),
    "student": Shape(64, 12, 240, 64, trained=True),
    "decoder": Shape(64, 6, 1568, 64, trained=True),
    "target encoder of 64 frames": Shape(8, 16, 6272, 64, trained=False),
    "predictor of 64 frames": Shape(8, 12, 4838, 32, trained=True),
}
GPU_KERNELS = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
)
CPU_SHAPES = {"small": Shape(2, 4, 65, 32, trained=True)}
CPU_KERNELS = (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH)


def main() -> None:
    """Report the time of each kernel at each shape."""
    for name, shape in (GPU_SHAPES if ON_GPU else CPU_SHAPES).items():
        inputs = made_inputs(shape)
        found = {}
        for kernel in GPU_KERNELS if ON_GPU else CPU_KERNELS:
            found[kernel.name] = time_kernel(kernel, shape, inputs)
        report(attention=name, **found)


def made_inputs(shape: Shape) -> list[Tensor]:
    """Queries, keys and values (B, H, N, D): views of one product, as the model makes them."""
    dtype = torch.bfloat16 if ON_GPU else torch.float32
    size = (shape.batch, shape.tokens, 3, shape.heads, shape.width)
    parts = torch.randn(size, device=DEVICE, dtype=dtype).permute(2, 0, 3, 1, 4)
    return [part.detach().requires_grad_(shape.trained) for part in parts]


def time_kernel(kernel: SDPBackend, shape: Shape, inputs: list[Tensor]) -> str:
    """The time and the rate of a kernel, or why it does not run."""
    try:
        with sdpa_kernel(kernel):
            seconds = seconds_of(_attend(shape, inputs), times=5, warm_up=2)
    except RuntimeError as error:
        return str(error)[:60]
    return f"{1e3 * seconds:.2f} ms, {shape.flops / seconds / 1e12:.3g} TFLOP/s"


def _attend(shape: Shape, inputs: list[Tensor]) -> Callable[[], None]:
    def attend() -> None:
        queries, keys, values = inputs
        attended = scaled_dot_product_attention(queries, keys, values)
        if shape.trained:
            torch.autograd.grad(attended, inputs, torch.ones_like(attended))

    return attend


if __name__ == "__main__":
    main()
