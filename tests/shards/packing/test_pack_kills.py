"""SIGKILL at any moment of a packing: the next one ends with the same bytes, leaves no orphan, and packs nothing twice.

`KILLS=50 SEED=7 pytest tests/shards/packing/test_pack_kills.py -s` tries more moments, others, and tells of them.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from surgstream.shards.storage.stores import Storage, open_storage
from tests.helpers.commands import pack as main
from tests.helpers.packing import contents, start
from tests.helpers.s3 import s3_bucket

pytestmark = pytest.mark.slow

KILLS, SEED = int(os.environ.get("KILLS", "4")), int(os.environ.get("SEED", "0"))


@pytest.fixture(params=["folder", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where to pack to: a folder of a folder, or a bucket's prefix."""
    if request.param == "folder":
        yield str(tmp_path)
        return
    with s3_bucket("killed") as bucket:
        yield bucket


def finished(storage: Storage) -> dict[str, str | None]:
    """The shards that have a receipt, and their versions."""
    names = list(storage.sizes())
    receipts = [name for name in names if name.startswith("d/") and name.endswith(".json")]
    return {
        name: storage.version(name)
        for receipt in receipts
        for name in (receipt, receipt[:-4] + "tar")
    }


def orphans(out: str, storage: Storage) -> list[str]:
    """What killed writers have left."""
    if not out.startswith("s3://"):
        return [str(path) for path in Path(storage.uri).rglob("*.partial")]
    return [
        upload["Key"]
        for upload in boto3.client("s3").list_multipart_uploads(Bucket="killed").get("Uploads", [])
    ]


def test_a_kill_at_any_moment(
    six_shards: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = contents(six_shards / "out")
    corpus, chance = str(six_shards / "corpus.yaml"), random.Random(SEED)
    started = time.monotonic()
    whole = start("pack", corpus, f"{out}/whole", "workers=2")
    whole.communicate(timeout=100)
    assert whole.returncode == 0
    longest = time.monotonic() - started
    for kill in range(KILLS):
        storage = open_storage(f"{out}/{kill}")
        process = start("pack", corpus, storage.uri, "workers=2")
        time.sleep(chance.uniform(0.2, 1.0) * longest)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        time.sleep(0.3)
        done = finished(storage)
        assert main([corpus, storage.uri, "workers=2"]) == 0
        assert {name: storage.read(name) for name in storage.sizes()} == expected
        assert orphans(out, storage) == []
        assert finished(storage).items() >= done.items(), "what had a receipt was packed again"
        with capsys.disabled():
            if KILLS > 4:
                print(f"kill {kill + 1} of {KILLS}: after {len(done) // 2} of 6 shards", flush=True)
