"""`surgstream verify` finds any damage, and names it."""

import hashlib
import io
import re
import shutil
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgstream.configs.loading import to_tree
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.commands.verify import verify
from surgstream.shards.errors import ManifestError
from surgstream.shards.format import index
from surgstream.shards.format.checksummed import dump_checksummed, load_checksummed
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.packing.checks import check_shard
from surgstream.shards.packing.record_checks import check_records, find_pictures
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import verify as main
from tests.helpers.videos import make_video, spoil

TAR, INDEX, RECEIPT = "d/d-000000.tar", "d/d-000000.idx", "d/d-000000.json"
EMPTY_RECEIPT = "f/f-000000.json"
"""Of a shard of which not one video could be packed."""

FILES = (TAR, INDEX, RECEIPT, "e/e-000000.tar", "e/e-000000.idx", EMPTY_RECEIPT)
FILES += ("manifest.json", "plan.json", "quarantine.jsonl", "readings.jsonl")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    for name in ("d/a", "d/b", "e/c"):
        make_video(folder / f"{name}.mp4", 50)
    (folder / "e" / "x.mp4").write_bytes(b"no video")
    spoil(make_video(folder / "f" / "y.mp4", 50))
    datasets = [
        {"name": name, "specialty": "s", "procedure": "p", "videos": f"{name}/*.mp4"}
        for name in "def"
    ]
    options = {"fps": 2, "short_side": 16, "segment_frames": 3}
    (folder / "corpus.yaml").write_text(yaml.safe_dump({"datasets": datasets, "pack": options}))
    assert surgstream(["pack", str(folder / "corpus.yaml"), str(folder / "out")]) == 0
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
    found = list(check_records(manifest, storage))
    for shard in manifest.shards:
        found += check_shard(shard, 3, storage, lambda frames: None)
    return found


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.slow
def test_a_sound_corpus(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(packed) == []
    assert main([str(packed)]) == 0
    assert capsys.readouterr().out.startswith("2 shards, 3 videos, 12 frames, ")


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(
    derandomize=True,
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_flipped_bit_anywhere_is_found_and_its_file_named(
    corpus: Path, name: str, data: st.DataObject
) -> None:
    path = corpus / name
    whole = path.read_bytes()
    flip(
        path,
        data.draw(st.integers(0, len(whole) - 1), label="position"),
        data.draw(st.integers(0, 7), label="bit"),
    )
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
    assert findings(corpus) == [
        f"{TAR}: its end, after the last member: expected zeros up to byte {len(whole)}"
    ]


def test_the_frame_is_named(corpus: Path) -> None:
    row = index.from_bytes((corpus / INDEX).read_bytes(), where=INDEX)[7]
    flip(corpus / TAR, int(row["offset"]) + 40)
    (found,) = findings(corpus)
    assert found.startswith(f"{TAR}: b_00001.0000.jpg (video 'b', frame 3): CRC-32: expected ")


def test_a_damaged_index_is_named_and_hides_no_damage_to_its_tar(corpus: Path) -> None:
    flip(corpus / INDEX, 16 * 7 + 12)
    (found,) = findings(corpus)
    assert found.startswith(f"{INDEX}: SHA-256: expected ")
    flip(corpus / TAR, 150)
    assert [line.split(" expected")[0] for line in findings(corpus)] == [
        f"{INDEX}: SHA-256:",
        f"{TAR}: SHA-256:",
    ]


@pytest.mark.parametrize("name", [name for name in FILES if name != "manifest.json"])
def test_missing_shortened_and_lengthened_files_are_named(corpus: Path, name: str) -> None:
    path = corpus / name
    whole = path.read_bytes()
    path.unlink()
    (found,) = findings(corpus)
    assert found.startswith(f"{name}: ")
    for data in (b"", whole[:-7], whole[: len(whole) // 2], whole + b"\0", whole * 2):
        path.write_bytes(data)
        (found,) = findings(corpus)
        assert found.startswith(f"{name}: ")


def test_a_line_that_left_the_quarantine_report_is_missed(corpus: Path) -> None:
    path = corpus / "quarantine.jsonl"
    first, second = path.read_text().splitlines(keepends=True)
    for lines, got in (
        ([first], "1 of them in 1"),
        ([], "0 of them in 0"),
        ([first, second, second], "2 of them in 3"),
    ):
        path.write_text("".join(lines))
        expected = f"expected the 2 lines that plan.json and the receipts call for, got {got} lines"
        assert findings(corpus) == [f"quarantine.jsonl: {expected}"]


def test_a_receipt_of_another_shard_is_named(corpus: Path) -> None:
    shutil.copy(corpus / EMPTY_RECEIPT, corpus / RECEIPT)
    assert findings(corpus)[0] == f"{RECEIPT}: describes another shard than the manifest does"


def reseal(corpus: Path, **changes: Any) -> None:
    """Change what manifest and receipt say of the first shard, with checksums that fit."""
    manifest = Manifest.load(open_storage(str(corpus)))
    shard = replace(manifest.shards[0], **changes)
    (corpus / "manifest.json").write_bytes(
        replace(manifest, shards=(shard, *manifest.shards[1:])).to_bytes()
    )
    receipt = load_checksummed((corpus / RECEIPT).read_bytes(), where=RECEIPT)
    (corpus / RECEIPT).write_bytes(dump_checksummed({**receipt, "shard": to_tree(shard)}))


def replace_files(corpus: Path, tar: bytes, idx: bytes) -> None:
    """Put another tar and index in their place, with checksums that fit."""
    (corpus / TAR).write_bytes(tar)
    (corpus / INDEX).write_bytes(idx)
    sha256, index_sha256 = (hashlib.sha256(data).hexdigest() for data in (tar, idx))
    reseal(corpus, num_bytes=len(tar), sha256=sha256, index_sha256=index_sha256)


def test_a_frame_that_is_no_jpeg_is_found_whatever_its_checksums_say(corpus: Path) -> None:
    rows = index.from_bytes((corpus / INDEX).read_bytes(), where=INDEX).copy()
    data = bytearray((corpus / TAR).read_bytes())
    start, size = int(rows[2]["offset"]), int(rows[2]["size"])
    data[start : start + size] = b"x" * size
    rows[2]["crc32"] = zlib.crc32(b"x" * size)
    replace_files(corpus, bytes(data), index.to_bytes(rows))
    (found,) = findings(corpus)
    assert found.startswith(f"{TAR}: a_00000.0002.jpg (video 'a', frame 2): cannot be decoded")


def test_a_tar_is_held_against_its_own_checksum(corpus: Path) -> None:
    reseal(corpus, sha256="ab" * 32)
    (found,) = findings(corpus)
    assert found.startswith(f"{TAR}: SHA-256: expected abab")


def test_what_the_tar_says_is_held_against_the_manifest(corpus: Path) -> None:
    reseal(corpus, specialty="other")
    found = findings(corpus)
    assert len(found) == 4  # two videos of two segments
    assert found[0] == f"{TAR}: a_00000.json: specialty: the manifest has 'other', this has 's'"


def test_the_size_of_the_pictures_is_held_against_the_manifest(corpus: Path) -> None:
    first, second = Manifest.load(open_storage(str(corpus))).shards[0].videos
    reseal(corpus, videos=(first, replace(second, width=20)))
    found = [line for line in findings(corpus) if "pixels" in line]
    assert len(found) == 4
    assert (
        found[0]
        == f"{TAR}: b_00000.0000.jpg (video 'b', frame 0): expected 20x16 pixels, got 21x16"
    )


def test_an_index_that_fits_no_tar_is_a_finding_whatever_its_checksum_says(corpus: Path) -> None:
    """Offsets backwards, beyond the end and beyond 63 bits, sizes larger than the tar, members in another order."""
    tar, idx = (corpus / TAR).read_bytes(), (corpus / INDEX).read_bytes()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as source,
        tarfile.open(corpus / "turned.tar", "w") as turned,
    ):
        for member in reversed(source.getmembers()):
            turned.addfile(member, source.extractfile(member))
    (corpus / "turned.tar").rename(corpus / TAR)
    flip(corpus / INDEX, 3)
    assert [line.split(":")[0] for line in findings(corpus)] == [INDEX, TAR]
    for row, field, value in (
        (0, "offset", 0),
        (1, "offset", 512),
        (5, "offset", 2**64 - 1),
        (3, "size", 2**32 - 1),
        (7, "size", 0),
    ):
        rows = index.from_bytes(idx, where=INDEX).copy()
        rows[row][field] = value
        replace_files(corpus, tar, index.to_bytes(rows))
        found = findings(corpus)
        assert found and all(line.startswith(TAR) for line in found)


def test_segments_of_no_frames_are_refused(corpus: Path) -> None:
    manifest = Manifest.load(open_storage(str(corpus)))
    (corpus / "manifest.json").write_bytes(
        replace(manifest, packing={"segment_frames": 0}).to_bytes()
    )
    with pytest.raises(
        ManifestError, match=r"segment_frames: expected a whole number of at least 1, got 0"
    ):
        list(
            verify(
                manifest=Manifest.load(open_storage(str(corpus))),
                storage=open_storage(str(corpus)),
                workers=1,
            )
        )


@pytest.mark.slow
def test_pictures_that_an_earlier_version_left_are_warned_of(
    corpus: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It kept a small picture of each finding, dropped or not, in its reading."""
    receipt = load_checksummed((corpus / RECEIPT).read_bytes(), where=RECEIPT)
    finding = {"kind": "face", "start": 0.0, "stop": 1.0, "score": 1.0, "thumbnail": "/9j/4AAQ"}
    receipt["readings"] = [{**reading, "findings": [finding]} for reading in receipt["readings"]]
    (corpus / RECEIPT).write_bytes(dump_checksummed(receipt))
    lines = [dump_checksummed(reading) for reading in receipt["readings"]]
    (corpus / "readings.jsonl").write_bytes(b"".join(lines))

    assert main([str(corpus), "--workers", "2"]) == 0
    assert "every byte is as it was packed" in capsys.readouterr().out
    (record,) = caplog.records
    assert (
        "2 files, such as d/d-000000.json, hold pictures of what was found" in record.getMessage()
    )
    flip(corpus / "e" / "e-000000.tar", 2000)
    assert main([str(corpus), "--workers", "2"]) == 1, "all else is looked at as ever"


def test_what_an_earlier_version_packed_is_sound(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its readings and receipts do not know of changes in a video."""
    for name in (
        "readings.jsonl",
        *(str(path.relative_to(corpus)) for path in corpus.glob("*/*.json")),
    ):
        lines = [
            load_checksummed(line, where=name)
            for line in (corpus / name).read_bytes().splitlines(keepends=True)
        ]
        for line in lines:
            for reading in line.get("readings", [line]):
                reading.pop("changes", None)
        (corpus / name).write_bytes(b"".join(map(dump_checksummed, lines)))
    assert main([str(corpus), "--workers", "2"]) == 0
    assert "every byte is as it was packed" in capsys.readouterr().out


@pytest.mark.slow
def test_a_report_that_lies_in_a_corpus_is_warned_of(
    corpus: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (corpus / "report" / "pictures").mkdir(parents=True)
    (corpus / "report" / "index.html").write_text("a page")
    (corpus / "report" / "pictures" / "time0.jpg").write_bytes(b"a face")
    assert main([str(corpus), "--workers", "2"]) == 0
    (record,) = caplog.records
    assert (
        "2 files, such as report/index.html, hold pictures of what was found" in record.getMessage()
    )
    (corpus / "readings.jsonl").write_bytes(b"")
    assert main([str(corpus), "--workers", "2"]) == 1, "all else is looked at as ever"


def test_packing_again_is_rid_of_them(packed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed.parent, tmp_path / "all"))
    receipt = load_checksummed((folder / "out" / RECEIPT).read_bytes(), where=RECEIPT)
    finding = {"kind": "face", "start": 0.0, "stop": 1.0, "score": 1.0, "thumbnail": "/9j/4AAQ"}
    receipt["readings"] = [{**reading, "findings": [finding]} for reading in receipt["readings"]]
    (folder / "out" / RECEIPT).write_bytes(dump_checksummed(receipt))
    assert find_pictures(open_storage(str(folder / "out"))) == [RECEIPT]
    assert surgstream(["pack", str(folder / "corpus.yaml"), str(folder / "out")]) == 0
    assert find_pictures(open_storage(str(folder / "out"))) == [] and findings(folder / "out") == []


def repaired(tar: bytearray) -> bytearray:
    """The tar with the checksum of every block that looks like a header made to fit."""
    for start in range(0, len(tar), tarfile.BLOCKSIZE):
        if tar[start + 257 : start + 262] == b"ustar":
            total = tarfile.calc_chksums(tar[start : start + tarfile.BLOCKSIZE])[0]
            tar[start + 148 : start + 156] = b"%06o\0 " % total
    return tar


@given(data=st.data())
@settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_changed_bytes_anywhere_are_found_and_never_a_crash(
    packed: Path, corpus: Path, data: st.DataObject
) -> None:
    whole = {name: (packed / name).read_bytes() for name in FILES}
    damaged = {}
    for name in data.draw(
        st.lists(st.sampled_from(FILES), min_size=1, max_size=3, unique=True), label="files"
    ):
        changed = bytearray(whole[name])
        # Half of the places lie in the first blocks, where tar headers, JSON and the first rows are.
        place = st.integers(0, len(changed) - 1) | st.integers(0, min(2048, len(changed)) - 1)
        for position, byte in data.draw(
            st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=8)
        ):
            changed[position] = byte
        damaged[name] = repaired(changed) if data.draw(st.booleans(), label="repaired") else changed
    for name in FILES:
        (corpus / name).write_bytes(damaged.get(name, whole[name]))
    assert bool(findings(corpus)) == any(damaged[name] != whole[name] for name in damaged)


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
    assert surgstream(["pack", str(folder / "corpus.yaml"), str(folder / "out")]) == 0
    assert (folder / "out" / TAR).read_bytes() == before and findings(folder / "out") == []
