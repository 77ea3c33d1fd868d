"""The teacher's matrix products in fp8, casts included, against bf16."""

import torch

from surgstream.benchmarks.gpu.findings import DEVICE, report, seconds_of

SIZES = ((100_864, 1024, 3072), (100_864, 1024, 4096), (100_864, 4096, 1024))
"""Rows, inner and output features of the products in a block of a ViT-L on 512 frames."""


def main() -> None:
    """Report each product in bf16 and in fp8."""
    for size in SIZES:
        measure(*size)


def measure(rows: int, inner: int, outputs: int) -> None:
    """Time one product."""
    inputs = torch.randn(rows, inner, device=DEVICE).bfloat16()
    weights = torch.randn(outputs, inner, device=DEVICE).bfloat16()
    inputs_fp8 = inputs.to(torch.float8_e4m3fn)
    weights_fp8 = weights.to(torch.float8_e4m3fn)
    scale = torch.tensor(1.0, device=DEVICE)

    def multiply_fp8() -> torch.Tensor:
        return torch._scaled_mm(
            inputs_fp8, weights_fp8.T, scale_a=scale, scale_b=scale, out_dtype=torch.bfloat16
        )

    bf16 = seconds_of(lambda: inputs @ weights.T)
    fp8 = seconds_of(multiply_fp8)
    cast = seconds_of(lambda: inputs.to(torch.float8_e4m3fn))

    tflop = 2 * rows * inner * outputs / 1e12
    report(
        product=f"{rows} x {inner} x {outputs}",
        bf16_tflops=round(tflop / bf16),
        fp8_tflops=round(tflop / fp8),
        cast_ms=round(1e3 * cast, 2),
        gain_with_cast=round(bf16 / (fp8 + cast), 2),
    )


if __name__ == "__main__":
    main()
