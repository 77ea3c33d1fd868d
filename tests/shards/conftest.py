import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.commands import pack as main
from tests.helpers.faults import FaultProxy, fault_proxy
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video


@pytest.fixture(scope="session")
def six_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus.yaml`, its videos, and in `out` its six shards, packed without interruption."""
    folder = tmp_path_factory.mktemp("six_shards")
    for name in "abcdef":
        make_video(folder / f"{name}.mp4", 100, size=(160, 120))
    corpus = write_corpus(
        folder, {"name": "d", "videos": "*.mp4"}, fps=25, shard_bytes=1, workers=2
    )
    assert main([corpus, str(folder / "out")]) == 0
    return folder


@pytest.fixture
def proxy(bucket: str) -> Iterator[FaultProxy]:
    """A proxy before the server of a test's bucket."""
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        yield proxy
