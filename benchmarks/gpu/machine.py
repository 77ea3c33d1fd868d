"""The ceilings of a machine, which scale every other number: matrix products, memory, and copies to the device."""

import os

import torch

from surgstream.benchmarks.gpu.findings import DEVICE, ON_GPU, report, seconds_of
from surgstream.benchmarks.support.products import Products

_BYTES = 2**31 if ON_GPU else 2**26
_HOST_BYTES = 2**28


def main() -> None:
    """Report the device, and what it does at best."""
    report(torch=torch.__version__, cuda=torch.version.cuda, cores=os.cpu_count())
    if ON_GPU:
        properties = torch.cuda.get_device_properties(DEVICE)
        report(
            gpu=properties.name,
            gib=round(properties.total_memory / 2**30, 1),
            cudnn=torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            nccl=torch.cuda.nccl.version(),  # type: ignore[no-untyped-call]
        )

    products = Products(DEVICE, torch.bfloat16 if ON_GPU else torch.float32)
    report(of=products.name, tflops=round(products.best_rate() / 1e12, 2))

    source = torch.empty(_BYTES, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source))
    # Each byte is read and written
    report(copy_tb_per_s=round(2 * _BYTES / seconds / 1e12, 3))

    if ON_GPU:
        for pinned in (False, True):
            copy_from_host(target, pinned=pinned)


def copy_from_host(target: torch.Tensor, *, pinned: bool) -> None:
    """Report the rate of copies from the host's memory."""
    host = torch.empty(_HOST_BYTES, dtype=torch.uint8, pin_memory=pinned)
    seconds = seconds_of(lambda: target[:_HOST_BYTES].copy_(host))
    report(from_host_gb_per_s=round(_HOST_BYTES / seconds / 1e9, 1), pinned=pinned)


if __name__ == "__main__":
    main()
