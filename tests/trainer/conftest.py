from collections.abc import Iterator

import pytest

from tests.helpers.ranks import process_group


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """A process group of this process."""
    with process_group():
        yield
