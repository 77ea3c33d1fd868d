"""Limits that hold for all tests, and the folders of slow ones.

Timings are measured in `benchmarks/`, and never asserted: a busy machine is no failure. What never ends is one.
"""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker a core: threads of torch, NumPy and started processes would wait for each other's cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

MEMORY_BYTES = 2 * 2**30
CPU_SECONDS = 20

GPU_TESTS_NEED = "one NVIDIA GPU, and torch, DALI and PyAV with CUDA"

SLOW_FOLDERS = [Path(__file__).parent / name for name in ("end_to_end", "fuzz")]
"""All of them is slow; elsewhere, tests that start ranks or take a second of CPU are marked one by one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in SLOW_FOLDERS):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = [item for item in session.items if item.get_closest_marker("gpu")]
    if wanted and not session.config.option.collectonly and not has_gpu():
        pytest.exit(f"{len(wanted)} tests need {GPU_TESTS_NEED}; this machine shows no GPU", 4)


def has_gpu() -> bool:
    """Whether torch sees a GPU; asked only where tests that need one are to run."""
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """2 GiB beyond what the process has: whatever wants gigabytes gets a MemoryError, which no test expects."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, before[1])
    )
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def ending() -> Callable[[str], AbstractContextManager[None]]:
    """Fails where a block takes 20 s of CPU: what a mistake asks for is without end, or far from it."""

    @contextmanager
    def ends(what: str) -> Iterator[None]:
        def told(_number: int, _frame: FrameType | None) -> None:
            pytest.fail(f"{what}: not done after {CPU_SECONDS} s of CPU")

        before = signal.signal(signal.SIGPROF, told)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    return ends
