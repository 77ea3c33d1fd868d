"""Tars as stores of their members, in a folder and in a bucket."""

import contextlib
import io
import itertools
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgstream.shards.errors import StorageError
from surgstream.shards.storage.stores import Stores, open_storage, read_range, split_tar
from tests.helpers.s3 import s3_bucket

NAMES = st.text("ab-_. é", min_size=1, max_size=120).filter(
    lambda name: name.strip(".") != "" and name.strip(". ") != ""
)
FILES = st.dictionaries(NAMES, st.binary(max_size=2000), max_size=6)
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])

in_one_folder = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def tar_of(files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """The bytes of a tar with some files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=format) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder, and a bucket."""
    if request.param == "folder":
        yield str(tmp_path)
        return
    with s3_bucket("tarred") as bucket:
        yield bucket


@in_one_folder
@given(files=FILES, format=FORMATS, data=st.data())
def test_members_are_files_of_a_store(
    files: dict[str, bytes], format: int, data: st.DataObject, tmp_path: Path
) -> None:
    try:
        content = tar_of(files, format)
    except ValueError:
        return  # ustar knows no such long names
    (tmp_path / "0.tar").write_bytes(content)

    storage = Stores()[str(tmp_path / "0.tar")]
    assert storage.sizes() == {name: len(content) for name, content in sorted(files.items())}
    for name, content in files.items():
        assert storage.read(name) == content
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, len(content)))
        assert read_range(storage, name, start, stop) == content[start:stop]


def test_a_location_may_lead_into_a_tar(place: str) -> None:
    open_storage(place).write("set/0.tar", tar_of({"./a.mp4": b"first", "deep/b.mp4": b"second"}))
    stores = Stores()

    storage, name = stores.locate(f"{place}/set/0.tar/deep/b.mp4")
    assert name == "deep/b.mp4" and storage.read(name) == b"second"
    assert stores.locate(f"{place}/set/0.tar/a.mp4")[0] is storage
    assert storage.sizes() == {"a.mp4": 5, "deep/b.mp4": 6}
    assert storage.sizes("deep") == {"deep/b.mp4": 6}
    assert storage.size("c.mp4") is None and storage.version("c.mp4") is None

    # The tar itself is a file as any other.
    storage, name = stores.locate(f"{place}/set/0.tar")
    assert name.endswith("0.tar") and (storage.size(name) or 1) % 512 == 0


def test_a_folder_may_be_called_so(place: str) -> None:
    open_storage(place).write("odd.tar/a.mp4", b"first")
    storage, name = Stores().locate(f"{place}/odd.tar/a.mp4")
    assert storage.read(name) == b"first"


def test_a_folder_that_is_called_so_may_have_tars(place: str) -> None:
    open_storage(place).write("odd.tar/deep.tar/0.tar", tar_of({"a.mp4": b"first"}))
    storage, name = Stores().locate(f"{place}/odd.tar/deep.tar/0.tar/a.mp4")
    assert storage.read(name) == b"first"


def test_a_bucket_may_be_called_so() -> None:
    with s3_bucket("bucket.tar") as bucket:
        open_storage(bucket).write("a.mp4", b"first")
        storage, name = Stores().locate(f"{bucket}/a.mp4")
        assert storage.read(name) == b"first"


def test_only_what_is_read_is_fetched(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = open_storage(place)
    outer.write("0.tar", tar_of({f"{number}.mp4": bytes(300_000) for number in range(9)}))
    fetched = []
    read_into = type(outer).read_into

    def counting(self: object, name: str, start: int, out: memoryview, stop: object = None) -> None:
        fetched.append(len(out))
        read_into(self, name, start, out, stop)  # type: ignore[arg-type]

    monkeypatch.setattr(type(outer), "read_into", counting)
    storage, name = Stores().locate(f"{place}/0.tar/7.mp4")
    assert storage.read(name) == bytes(300_000)

    # Its own bytes, and a few KiB for the header of each member.
    assert sum(fetched) <= 300_000 + 30 * 4096


def test_a_version_is_that_of_the_tar_and_the_place(place: str) -> None:
    outer = open_storage(place)
    outer.write("0.tar", tar_of({"a.mp4": b"same", "b.mp4": b"same"}))
    storage = Stores()[f"{place}/0.tar"]
    before = storage.version("a.mp4")
    assert before == storage.version("a.mp4") != storage.version("b.mp4")

    outer.write("0.tar", tar_of({"a.mp4": b"other"}))
    later = Stores()[f"{place}/0.tar"]
    assert later.version("a.mp4") != before and later.read("a.mp4") == b"other"


def test_a_tar_that_is_replaced_while_it_is_read_is_found_out(place: str) -> None:
    outer = open_storage(place)
    outer.write("0.tar", tar_of({"a.mp4": b"same", "b.mp4": b"same"}))
    storage = Stores()[f"{place}/0.tar"]
    assert storage.read("a.mp4") == b"same"

    outer.write("0.tar", tar_of({"other.mp4": bytes(20_000)}))
    with pytest.raises(StorageError, match=r"replaced"):
        storage.read("b.mp4")


def test_of_files_of_one_name_the_last_counts(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for content in (b"old", b"newer"):
            member = tarfile.TarInfo("a.mp4")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert Stores()[str(tmp_path / "0.tar")].read("a.mp4") == b"newer"


def test_folders_and_links_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"x")
    (tmp_path / "in" / "b.mp4").symlink_to("/etc/passwd")
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        tar.add(tmp_path / "in", "in")
    assert Stores()[str(tmp_path / "0.tar")].sizes() == {"in/a.mp4": 1}


DAMAGES = {
    "text": b"this is no tar " * 100,
    "compressed": b"\x1f\x8b\x08\x00" + bytes(2000),
    "nothing": b"",
    "cut short": tar_of({"a.mp4": bytes(5000), "b.mp4": bytes(5000)}, tarfile.USTAR_FORMAT)[:6000],
    "cut in the last file": tar_of({"a.mp4": bytes(5000)}, tarfile.USTAR_FORMAT)[:4000],
    "a second header that is damaged": tar_of({"a.mp4": b"a", "b.mp4": b"b"}, tarfile.USTAR_FORMAT)[
        :1024
    ]
    + b"?" * 2048,
    "no end": tar_of({"a.mp4": b"a", "b.mp4": b"b"}, tarfile.USTAR_FORMAT)[:2048],
    "leads out": tar_of({"../a.mp4": b"x"}),
    "is absolute": tar_of({"/etc/a.mp4": b"x"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_whole_tar_is_one_sentence(damage: str, tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(DAMAGES[damage])
    with pytest.raises(StorageError, match=r"0\.tar: expected (an uncompressed tar|a name inside)"):
        Stores()[str(tmp_path / "0.tar")].sizes()


def header(size: int, kind: int) -> bytes:
    """A header that says so of the size behind it, which a writer would refuse to write."""
    whole = bytearray(tarfile.TarInfo("a.mp4").tobuf(tarfile.GNU_FORMAT))
    whole[124:136] = (size % 2**88 | (0xFF if size < 0 else 0x80) << 88).to_bytes(12, "big")
    whole[156] = kind
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % sum(whole)
    return bytes(whole)


@pytest.mark.parametrize(
    ("size", "kind"),
    [*itertools.product([-1024, -512, 2**40, 2**63, 2**80], b"0xgLKS"), (-1, ord("0"))],
)
def test_no_size_leads_round_in_circles_or_fills_the_memory(
    size: int, kind: int, tmp_path: Path
) -> None:
    first = tar_of({"first.mp4": bytes(700)})[:1536]
    (tmp_path / "0.tar").write_bytes(first + header(size, kind) + bytes(10_240))
    with pytest.raises(StorageError, match=r"0\.tar: expected an uncompressed tar"):
        Stores()[str(tmp_path / "0.tar")].sizes()


@pytest.mark.parametrize("kind", b"xL")
def test_headers_of_headers_have_an_end(kind: int, tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(header(0, kind) * 100_000)
    with pytest.raises(StorageError, match=r"0\.tar: expected an uncompressed tar"):
        Stores()[str(tmp_path / "0.tar")].sizes()


def test_names_are_those_that_unpacking_would_give(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar_of({"././a.mp4": b"a", "x//b.mp4": b"b", "x/./c": b"c"}))
    assert list(Stores()[str(tmp_path / "0.tar")].sizes()) == ["a.mp4", "x/b.mp4", "x/c"]


def test_files_with_holes_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    member = tarfile.TarInfo("a.mp4")
    member.pax_headers = {"GNU.sparse.size": "5", "GNU.sparse.map": "0,5"}
    member.size = 5
    with tarfile.open(tmp_path / "0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(b"12345"))
        tar.addfile(tarfile.TarInfo("b.mp4"))
    assert Stores()[str(tmp_path / "0.tar")].sizes() == {"b.mp4": 0}
    assert "0.tar: leaves out 1 files that are stored with holes" in caplog.text


@in_one_folder
@given(data=st.data())
def test_any_bytes_are_members_or_a_storage_error(data: st.DataObject, tmp_path: Path) -> None:
    whole = bytearray(tar_of({"a.mp4": bytes(700), "b" * 150: b"x"}))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "0.tar").write_bytes(whole)

    storage = Stores()[str(tmp_path / "0.tar")]
    with contextlib.suppress(StorageError):
        for name, size in storage.sizes().items():
            assert len(storage.read(name)) == size


def test_a_tar_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar_of({"a.mp4": b"x"}))
    storage = Stores()[str(tmp_path / "0.tar")]
    with pytest.raises(StorageError, match="expected a folder to write to, got a tar"):
        storage.write("a.mp4", b"y")
    with pytest.raises(StorageError, match="expected a folder to write to, got a tar"):
        storage.delete("a.mp4")


@pytest.mark.parametrize(
    ("location", "parts"),
    [
        ("a/0.tar/b.mp4", ("a/0.tar", "b.mp4")),
        ("s3://bucket/*.tar/**/*.mp4", ("s3://bucket/*.tar", "**/*.mp4")),
        ("a/0.tar", ("a/0.tar", "")),
        ("a/0.tar/", ("a/0.tar/", "")),
        ("a/0.tart/b.mp4", ("a/0.tart/b.mp4", "")),
        ("a/0.tar/1.tar/b.mp4", ("a/0.tar", "1.tar/b.mp4")),
    ],
)
def test_where_a_location_enters_a_tar(location: str, parts: tuple[str, str]) -> None:
    assert split_tar(location) == parts


def test_a_second_step_may_be_the_tar() -> None:
    second = split_tar("a/0.tar/1.tar/b.mp4", behind="a/0.tar")
    assert second == ("a/0.tar/1.tar", "b.mp4")
    assert split_tar("a/0.tar/1.tar/b.mp4", behind=second[0]) == ("a/0.tar/1.tar/b.mp4", "")
