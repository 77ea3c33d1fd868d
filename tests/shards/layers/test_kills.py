"""SIGKILL at any moment of a packing with layers, and parts of it side by side: the same bytes in the end.

What is packed without interruption, and what is killed, is packed by processes; what goes on, in this one.

`KILLS=50 SEED=7 pytest tests/shards/layers/test_kills.py` tries more moments, and others.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.storage.stores import Storage, open_storage
from tests.helpers.commands import pack as main
from tests.helpers.layers import layers_of, write_sources
from tests.helpers.packing import contents, start, wait_until, write_corpus
from tests.helpers.s3 import s3_bucket

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("here")]

KILLS, SEED = int(os.environ.get("KILLS", "2")), int(os.environ.get("SEED", "0"))


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus.yaml`, its videos and layers, and in `out` its shards, packed without interruption."""
    folder = tmp_path_factory.mktemp("layered")
    write_sources(folder, "a", "b", "c", count=50)
    corpus = write_corpus(folder, layers_of(), fps=25, shard_bytes=1, workers=2)
    assert main([corpus, str(folder / "out")]) == 0
    return folder


@pytest.fixture(params=["folder", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where to pack to: a folder, or a bucket's prefix."""
    if request.param == "folder":
        yield str(tmp_path)
        return
    with s3_bucket("killed") as bucket:
        yield bucket


def finished(storage: Storage) -> dict[str, str | None]:
    """The shards and layers that have a receipt, and their versions."""
    receipts = [
        name for name in storage.sizes() if name.startswith("d/") and name.endswith(".json")
    ]
    return {
        name: storage.version(name)
        for receipt in receipts
        for name in (receipt, receipt[:-4] + "tar")
    }


def orphans(out: str, storage: Storage) -> list[str]:
    """What killed writers have left."""
    if not out.startswith("s3://"):
        return [str(path) for path in Path(storage.uri).rglob("*.partial")]
    uploads = boto3.client("s3").list_multipart_uploads(Bucket="killed").get("Uploads", [])
    return [upload["Key"] for upload in uploads]


def test_a_kill_at_any_moment(layered: Path, out: str) -> None:
    expected = contents(layered / "out")
    corpus, chance = str(layered / "corpus.yaml"), random.Random(SEED)
    for kill in range(KILLS):
        storage = open_storage(f"{out}/{kill}")
        process = start("pack", corpus, storage.uri, "workers=2")
        # Layers come after all frames; a moment may be between two files, or inside of one
        begun = chance.uniform(0.3, 0.95) * len(expected)
        wait_until(lambda: has_files(storage, begun) or process.poll() is not None, 200)  # noqa: B023
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        time.sleep(0.3)
        done = finished(storage)
        assert main([corpus, storage.uri, "workers=2"]) == 0
        assert {name: storage.read(name) for name in storage.sizes()} == expected
        assert orphans(out, storage) == []
        assert finished(storage).items() >= done.items(), "what had a receipt was packed again"


def has_files(storage: Storage, least: float) -> bool:
    return len(storage.sizes()) >= least


def test_a_kill_among_layers_leaves_no_manifest_of_them(layered: Path, tmp_path: Path) -> None:
    corpus, out = str(layered / "corpus.yaml"), tmp_path / "out"
    process = start("pack", corpus, out, "workers=1")
    wait_until(lambda: bool(list(out.glob("d/*.mask.json"))))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    time.sleep(0.3)
    assert not list(out.glob("layer.*"))
    assert surgstream(["verify", str(out)]) == 1
    assert main([corpus, str(out)]) == 0
    assert contents(out) == contents(layered / "out")
    assert surgstream(["verify", str(out)]) == 0


def test_parts_side_by_side_pack_what_one_process_does(layered: Path, tmp_path: Path) -> None:
    corpus, out = str(layered / "corpus.yaml"), tmp_path / "out"
    assert main([corpus, "--plan-only", str(out), "workers=1"]) == 0
    parts = [start("pack", corpus, out, f"--part={number}/2", "workers=1") for number in range(2)]
    said = [part.communicate(timeout=200) for part in parts]
    assert [part.returncode for part in parts] == [0, 0], said
    assert len(list(out.glob("d/*.mask.json"))) == 3 and not list(out.glob("layer.*"))
    times = {path: path.stat().st_mtime_ns for path in out.glob("d/*")}
    assert main([corpus, str(out)]) == 0
    assert contents(out) == contents(layered / "out")
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_part_leaves_alone_the_layers_that_are_published(
    layered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = str(layered / "corpus.yaml"), tmp_path / "out"
    shutil.copytree(layered / "out", out)
    (out / "d" / "d-000000.mask.json").unlink()
    assert surgstream(["pack", corpus, str(out), "--part=0/1"]) == 2
    assert "of a published mask, such as d/d-000000.tar, to pack again" in capsys.readouterr().err
    steps = (["--plan-only"], ["--part=0/1"], [])
    assert [main([corpus, str(out), *step]) for step in steps] == [0, 0, 0]
    assert contents(out) == contents(layered / "out")
