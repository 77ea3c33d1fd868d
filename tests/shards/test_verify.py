"""`surgstream verify` finds any damage, and names it."""

import hashlib
import re
import shutil
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launch.__main__ import main as surgstream
from shards import index
from shards.checks import check_records, check_shard
from shards.errors import ManifestError
from shards.manifest import Manifest
from shards.storage import open_storage
from shards.verify import main
from tests.helpers.videos import make_video

TAR, INDEX, RECEIPT = "d/d-000000.tar", "d/d-000000.idx", "d/d-000000.json"
FILES = (TAR, INDEX, RECEIPT, "e/e-000000.tar", "e/e-000000.idx", "manifest.json", "plan.json", "quarantine.jsonl")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    for name in ("d/a", "d/b", "e/c"):
        make_video(folder / f"{name}.mp4", 50)
    (folder / "e" / "x.mp4").write_bytes(b"no video")
    datasets = [{"name": name, "specialty": "s", "procedure": "p", "videos": f"{name}/*.mp4"} for name in "de"]
    options = {"fps": 2, "short_side": 16, "segment_frames": 3}
    (folder / "corpus.yaml").write_text(yaml.safe_dump({"datasets": datasets, "pack": options}))
    assert surgstream(["pack", str(folder / "corpus.yaml"), str(folder / "out")]) == 3
    return folder / "out"


@pytest.fixture
def corpus(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "out"))


def findings(corpus: Path) -> list[str]:
    """What `verify` finds, without its processes."""
    storage = open_storage(str(corpus))
    try:
        manifest = Manifest.load(storage)
    except ManifestError as error:
        return [str(error)]
    found = list(check_records(storage))
    for shard in manifest.shards:
        found += check_shard(shard, 3, storage, lambda frames: None)
    return found


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def test_a_sound_corpus(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(packed) == []
    assert main([str(packed)]) == 0
    assert capsys.readouterr().out.startswith("2 shards, 3 videos, 12 frames, ")


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(derandomize=True, max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_anywhere_is_found_and_its_file_named(corpus: Path, name: str, data: st.DataObject) -> None:
    path = corpus / name
    whole = path.read_bytes()
    flip(path, data.draw(st.integers(0, len(whole) - 1), label="position"), data.draw(st.integers(0, 7), label="bit"))
    found = findings(corpus)
    path.write_bytes(whole)
    assert len(found) == 1 and name in found[0]


def test_every_byte_of_a_tar_belongs_to_what_is_named(corpus: Path) -> None:
    with tarfile.open(corpus / TAR) as tar:
        members = tar.getmembers()
    whole = (corpus / TAR).read_bytes()
    for member, following in zip(members, [*members[1:], None], strict=True):
        end = following.offset if following else member.offset_data + member.size
        for position, what in (
            (member.offset + 3, "header"),
            (member.offset + 150, "header"),
            (member.offset + 511, "header"),
            (member.offset_data + member.size // 2, "JSON|CRC-32"),
            (end - 1, "JSON|CRC-32|padding"),
        ):
            flip(corpus / TAR, position)
            (found,) = findings(corpus)
            (corpus / TAR).write_bytes(whole)
            assert found.startswith(f"{TAR}: {member.name}") and re.search(what, found)
    flip(corpus / TAR, len(whole) - 1)
    assert findings(corpus) == [f"{TAR}: its end, after the last member: expected zeros up to byte {len(whole)}"]


def test_the_frame_is_named(corpus: Path) -> None:
    row = index.from_bytes((corpus / INDEX).read_bytes(), where=INDEX)[7]
    flip(corpus / TAR, int(row["offset"]) + 40)
    (found,) = findings(corpus)
    assert found.startswith(f"{TAR}: b_00001.0000.jpg (video 'b', frame 3): CRC-32: expected ")


def test_the_index_row_is_named(corpus: Path) -> None:
    flip(corpus / INDEX, 16 * 7 + 12)
    (found,) = findings(corpus)
    assert found.startswith(f"{INDEX}: row 7 (video 'b', frame 3): expected (")


@pytest.mark.parametrize("name", [TAR, INDEX])
def test_missing_shortened_and_lengthened_files_are_named(corpus: Path, name: str) -> None:
    whole = (corpus / name).read_bytes()
    (corpus / name).unlink()
    assert findings(corpus) == [f"{name}: is missing"]
    for data in (whole[:-7], whole[: len(whole) // 2], whole + b"\0"):
        (corpus / name).write_bytes(data)
        (found,) = findings(corpus)
        assert found.startswith(f"{name}: ")


def test_damage_to_a_tar_and_its_index_is_found_in_both(corpus: Path) -> None:
    flip(corpus / INDEX, 5)
    flip(corpus / TAR, 150)
    found = findings(corpus)
    assert len(found) == 2 and found[0].startswith(INDEX) and found[1].startswith(TAR)


def test_a_frame_that_is_no_jpeg_is_found_whatever_its_checksums_say(corpus: Path) -> None:
    rows = index.from_bytes((corpus / INDEX).read_bytes(), where=INDEX).copy()
    data = bytearray((corpus / TAR).read_bytes())
    start, size = int(rows[2]["offset"]), int(rows[2]["size"])
    data[start : start + size] = b"x" * size
    rows[2]["crc32"] = zlib.crc32(b"x" * size)
    (corpus / TAR).write_bytes(data)
    (corpus / INDEX).write_bytes(index.to_bytes(rows))
    manifest = Manifest.load(open_storage(str(corpus)))
    shard = replace(
        manifest.shards[0],
        sha256=hashlib.sha256(data).hexdigest(),
        index_sha256=hashlib.sha256(index.to_bytes(rows)).hexdigest(),
    )
    (corpus / RECEIPT).unlink()
    (corpus / "manifest.json").write_bytes(replace(manifest, shards=(shard, manifest.shards[1])).to_bytes())
    (found,) = findings(corpus)
    assert found.startswith(f"{TAR}: a_00000.0002.jpg (video 'a', frame 2): cannot be decoded")


def test_the_command_says_all_of_it(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(corpus / "e" / "e-000000.tar", 2000)
    (corpus / TAR).unlink()
    assert main([str(corpus), "--workers", "2"]) == 1
    *found, summary = capsys.readouterr().out.splitlines()
    assert sorted(line.split(": ")[0] for line in found) == [TAR, "e/e-000000.tar"]
    assert summary.endswith("2 damaged")
    (corpus / "manifest.json").unlink()
    assert surgstream(["verify", str(corpus)]) == 1
    assert "manifest.json is missing" in capsys.readouterr().err


def test_a_deleted_shard_is_mended_by_packing_again(packed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed.parent, tmp_path / "all"))
    before = (folder / "out" / TAR).read_bytes()
    (folder / "out" / TAR).unlink()
    assert surgstream(["pack", str(folder / "corpus.yaml"), str(folder / "out")]) == 3
    assert (folder / "out" / TAR).read_bytes() == before and findings(folder / "out") == []
