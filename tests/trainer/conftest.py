import os
from collections.abc import Iterator

import pytest

from trainer.distributed import Topology, join, leave


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """A process group of this process."""
    before = dict(os.environ)
    join(Topology(), 60)
    yield
    leave()
    os.environ.clear()
    os.environ.update(before)
