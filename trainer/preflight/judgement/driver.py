"""Drivers that are too old for the CUDA of torch or of DALI, and what to install."""

from collections.abc import Iterator, Sequence

from surgstream.trainer.preflight.judgement.problems import Problem
from surgstream.trainer.preflight.judgement.report import CudaVersions, RankReport

FIRST_DRIVER = {11: 450, 12: 525, 13: 580}
"""The first driver that runs a major version of CUDA, whatever the minor one (NVIDIA: Minor Version Compatibility)."""

CUDA_12 = (
    "surgstream[cuda12] and `pip install --force-reinstall "
    "--index-url https://download.pytorch.org/whl/cu126 torch torchvision`"
)
"""An install of CUDA 12: PyPI's torch is of CUDA 13, whichever extra asks for it."""


def driver_problems(reports: Sequence[RankReport]) -> Iterator[Problem]:
    """Find drivers that do not run what is installed, each kind once.

    Args:
        reports: The reports of all ranks.
    """
    ranks: dict[CudaVersions, list[int]] = {}
    for report in reports:
        if report.cuda:
            ranks.setdefault(report.cuda, []).append(report.rank)

    for cuda, where in ranks.items():
        if sentence := why_torch_fails(cuda):
            yield Problem(check="GPUs", sentence=sentence, ranks=tuple(where), of_node=True)
        elif sentence := why_dali_fails(cuda):
            yield Problem(check="GPUs", sentence=sentence, ranks=tuple(where), fatal=False)


def why_torch_fails(cuda: CudaVersions) -> str:
    """Say why torch cannot use this driver's GPUs, and what to do; empty where it can, or is built without CUDA."""
    if not cuda.of_torch:
        return ""

    if not cuda.of_driver:
        return (
            f"driver {cuda.driver} is loaded, but its library libcuda.so.1 is not found; start the "
            "container with --nv (Apptainer) or --gpus all (Docker), or mend the driver's install"
        )

    wanted = _major(cuda.of_torch)
    if wanted <= _major(cuda.of_driver):
        return ""

    remedies = [_newer_driver(wanted)]
    if _major(cuda.of_driver) == 12:
        remedies.append(CUDA_12)
    remedies.append(f"cuda-compat-{cuda.of_torch.replace('.', '-')} in a container")
    return (
        f"driver {cuda.driver} runs CUDA {cuda.of_driver}, torch is of CUDA {cuda.of_torch}; "
        f"install {', or '.join(remedies)}"
    )


def why_dali_fails(cuda: CudaVersions) -> str:
    """Say why DALI cannot decode on the GPUs of this driver, and what to do; empty where it can, or is not there."""
    if not cuda.of_dali or not cuda.of_driver or _major(cuda.of_dali) <= _major(cuda.of_driver):
        return ""

    return (
        f"driver {cuda.driver} runs CUDA {cuda.of_driver}, DALI is of CUDA {cuda.of_dali} and can "
        f"decode on the CPU alone; install {_newer_driver(_major(cuda.of_dali))}, or "
        f"surgstream[cuda{_major(cuda.of_driver)}] in its place"
    )


def _newer_driver(cuda_major: int) -> str:
    first = FIRST_DRIVER.get(cuda_major)
    return f"driver {first} or newer" if first else f"a driver of CUDA {cuda_major}"


def _major(version: str) -> int:
    return int(version.partition(".")[0])
