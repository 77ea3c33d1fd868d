from collections.abc import Iterator
from pathlib import Path

import pytest

from surgstream.shards.storage.base import Storage
from surgstream.shards.storage.stores import open_storage
from tests.helpers.s3 import s3_bucket


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("mirror") as bucket:
        yield bucket


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A folder or a prefix, empty."""
    if request.param == "folder":
        return open_storage(str(tmp_path / "mirror"))
    bucket = request.getfixturevalue("bucket")
    return open_storage(f"{bucket}/{request.node.name}")
