from collections.abc import Iterator

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import surgstream.trainer.models.images.teacher  # noqa: F401 - torchvision, which transformers imports, fails beside a CPU-only torch without
from tests.helpers.ranks import process_group


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """A process group of this process."""
    with process_group():
        yield


@pytest.fixture
def graphs() -> Iterator[CompileCounterWithBackend]:
    """A compiler that optimises nothing and counts its graphs in `frame_count`."""
    torch._dynamo.reset()
    yield CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()


@pytest.fixture
def traces() -> Iterator[CompileCounterWithBackend]:
    """As `graphs`, but of forward passes alone, which are traced in a third of the time."""
    torch._dynamo.reset()
    yield CompileCounterWithBackend("eager")
    torch._dynamo.reset()
