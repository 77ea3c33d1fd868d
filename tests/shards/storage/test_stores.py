"""Both kinds of store keep the same promises."""

import errno
import http.server
import io
import os
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError, SurgstreamError
from surgstream.configs.loading import build
from surgstream.shards.errors import StorageError
from surgstream.shards.storage import s3 as storage_s3
from surgstream.shards.storage.stores import (
    LocalStorage,
    RangeReader,
    S3Config,
    Storage,
    Stores,
    open_storage,
    read_range,
)
from tests.helpers.s3 import s3_bucket

PART = 16 * 2**20


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("stores") as uri:
        yield uri


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "corpus"))
    return open_storage(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def test_what_is_written_is_read(storage: Storage) -> None:
    storage.write("a/b.bin", b"0123456789")
    assert storage.read("a/b.bin") == b"0123456789"
    assert storage.size("a/b.bin") == 10
    assert read_range(storage, "a/b.bin", 3, 7) == b"3456"
    assert read_range(storage, "a/b.bin", 4, 4) == b""


def test_what_is_absent_is_said(storage: Storage) -> None:
    assert (
        storage.size("a") is None and storage.version("a") is None and list(storage.sizes()) == []
    )
    for read in (lambda: storage.read("a"), lambda: read_range(storage, "a", 0, 1)):
        with pytest.raises(StorageError, match=r"\ba\b.* is missing"):
            read()
    storage.delete("a")


@pytest.mark.parametrize(("start", "stop"), [(8, 12), (10, 11), (30, 40)])
def test_a_range_past_the_end_is_an_error(storage: Storage, start: int, stop: int) -> None:
    storage.write("a", b"0123456789")
    with pytest.raises(StorageError, match=r"a.*cut short"):
        read_range(storage, "a", start, stop)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "", ".", "a\0", "\ud800"])
def test_names_stay_inside(storage: Storage, name: str) -> None:
    for act in (storage.read, storage.size, storage.delete, lambda name: storage.write(name, b"")):
        with pytest.raises(StorageError, match="inside the store"):
            act(name)


def test_versions_tell_contents_apart(storage: Storage) -> None:
    storage.write("a", b"one")
    first = storage.version("a")
    assert first == storage.version("a")
    storage.write("a", b"two")
    assert storage.version("a") != first


def test_what_somebody_else_wrote_is_not_replaced(storage: Storage) -> None:
    storage.replace("a", b"one", None)
    first = storage.version("a")
    with pytest.raises(StorageError, match="a: expected it as it was when this began"):
        storage.replace("a", b"two", None)
    storage.replace("a", b"two!", first)
    for was in (first, None):
        with pytest.raises(StorageError, match="another process is writing there"):
            storage.replace("a", b"three", was)
    assert storage.read("a") == b"two!"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["write", "replace", "writer", "delete"])
def test_what_a_process_changes_itself_it_reads_anew(storage: Storage, how: str) -> None:
    storage.write("a", b"before")
    assert read_range(storage, "a", 0, 3) == b"bef"
    if how == "write":
        storage.write("a", b"after that")
    elif how == "replace":
        storage.replace("a", b"after that", storage.version("a"))
    elif how == "writer":
        with storage.writer("a") as sink:
            sink.write(b"after that")
    else:
        storage.delete("a")
        open_storage(storage.uri).write("a", b"after that")
    assert read_range(storage, "a", 0, 3) == b"aft"


def test_what_others_change_is_not_read_on(storage: Storage) -> None:
    storage.write("a", b"before")
    assert read_range(storage, "a", 0, 3) == b"bef"
    open_storage(storage.uri).write("a", b"after that")
    with pytest.raises(
        StorageError,
        match=r"\ba\b.* was replaced while the run read it .* this is another corpus now",
    ):
        read_range(storage, "a", 3, 6)


@pytest.mark.slow
@pytest.mark.parametrize("was", [b"", b"before"])
def test_s3_does_not_replace_what_was_written_in_the_last_moment(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was: bytes
) -> None:
    storage = open_storage(f"{bucket}/{tmp_path.name}")
    if was:
        storage.write("a", was)
    version = storage.version("a")
    monkeypatch.setattr(
        storage_s3, "check_version", lambda storage, *_: storage.write("a", b"somebody else's")
    )
    with pytest.raises(StorageError, match="another process is writing there"):
        storage.replace("a", b"ours", version)
    assert storage.read("a") == b"somebody else's"


@pytest.mark.parametrize("size", [5, 2 * PART + 77])
def test_what_was_damaged_on_the_way_is_not_left_there(
    bucket: str, tmp_path: Path, size: int
) -> None:
    storage = open_storage(f"{bucket}/{tmp_path.name}")
    damaged = list[str]()

    def flip(params: dict[str, Any], **_: object) -> None:
        """Damage a body after its MD5 was taken, and tell this server, which does not look, nothing of that."""
        if params.pop("ContentMD5", None) and params.get("PartNumber", 2) == 2:
            params["Body"] = b"x" + params["Body"][1:]
            damaged.append("x")

    events = storage._client._clients.patient.meta.events  # type: ignore[attr-defined]
    events.register("provide-client-params.s3.UploadPart", flip)
    events.register("provide-client-params.s3.PutObject", flip)
    with pytest.raises(StorageError, match=r"a: expected .* damaged on the way, and are removed"):  # noqa: SIM117
        with storage.writer("a") as sink:
            sink.write(bytes(size))
    assert damaged and storage.size("a") is None
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket="stores")


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 5, PART, PART + 1, 2 * PART + 77])
def test_a_writer_publishes_at_its_end(storage: Storage, size: int) -> None:
    data = os.urandom(size)
    with storage.writer("a/big") as sink:
        for start in range(0, size, 5 * 2**20):
            sink.write(data[start : start + 5 * 2**20])
        assert list(storage.sizes()) == []
    assert storage.read("a/big") == data


@pytest.mark.slow
@pytest.mark.parametrize("size", [5, PART + 1])
def test_a_failing_writer_leaves_what_was_there(
    storage: Storage, size: int, tmp_path: Path
) -> None:
    storage.write("a", b"before")
    with pytest.raises(ZeroDivisionError), storage.writer("a") as sink:
        sink.write(bytes(size))
        raise ZeroDivisionError
    assert storage.read("a") == b"before" and list(storage.sizes()) == ["a"]
    assert [path.name for path in (tmp_path / "corpus").glob("*")] in ([], ["a"])


def test_uploads_that_fail_are_aborted(bucket: str) -> None:
    with pytest.raises(ZeroDivisionError), open_storage(bucket).writer("a") as sink:
        sink.write(bytes(PART + 1))
        raise ZeroDivisionError
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket="stores")


@pytest.mark.slow
def test_a_listing_is_sorted_and_has_sizes(storage: Storage) -> None:
    sizes = {"b/2": 0, "a/1": 3, "b/10": PART + 1, "c": 1}
    for name, size in sizes.items():
        storage.write(name, bytes(size))
    assert list(storage.sizes().items()) == sorted(sizes.items())


def test_linked_folders_are_listed_and_circles_end(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "corpus"))
    storage.write("d/1", b"")
    open_storage(str(tmp_path / "elsewhere")).write("deep/2", b"")
    (tmp_path / "corpus" / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "corpus" / "d" / "up").symlink_to(tmp_path / "corpus")
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "corpus" / "d")
    assert {"c/deep/2", "d/1"} <= set(storage.sizes())
    abandoned = storage.writer("c/deep/3")
    abandoned.__enter__()
    storage.sweep(lambda name: name == "c/deep/3")
    assert [
        path.name for path in (tmp_path / "elsewhere" / "deep").iterdir() if path.is_file()
    ] == ["2"]
    with pytest.raises(StorageError):
        abandoned.__exit__(None, None, None)


@pytest.mark.slow
def test_sweeping_removes_what_killed_writers_left_of_our_names(storage: Storage) -> None:
    storage.write("a", b"kept")
    ours, other = storage.writer("b/1"), storage.writer("c/1")
    for writer in (ours, other):
        writer.__enter__().write(bytes(PART + 1))
    storage.sweep(lambda name: name == "b/1")
    assert list(storage.sizes()) == ["a"]
    with pytest.raises(StorageError):
        ours.__exit__(None, None, None)
    other.__exit__(None, None, None)
    assert list(storage.sizes()) == ["a", "c/1"]


@pytest.mark.slow
def test_sweeping_a_prefix_leaves_the_rest_of_its_bucket(bucket: str) -> None:
    other = open_storage(bucket).writer("b/1")
    other.__enter__().write(bytes(PART + 1))
    open_storage(f"{bucket}/prefix").sweep(lambda name: True)
    other.__exit__(None, None, None)
    assert open_storage(bucket).size("b/1") == PART + 1


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "folder without links", "s3"])
def test_of_several_who_make_a_file_one_does(
    place: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if place == "folder without links":
        monkeypatch.setattr(os, "link", none)
    uri = f"{bucket}/made" if place == "s3" else str(tmp_path / "made")
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda number: open_storage(uri).create("a/b", b"%d" % number), range(8))
        )
    assert made.count(True) == 1
    storage = open_storage(uri)
    assert storage.read("a/b") == b"%d" % made.index(True) and list(storage.sizes()) == ["a/b"]


def test_a_link_whose_answer_was_lost_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def sent_twice(*names: Path) -> None:
        link(*names)
        link(*names)

    monkeypatch.setattr(os, "link", sent_twice)
    storage = open_storage(str(tmp_path))
    assert [storage.create("a", b"1"), storage.create("a", b"2")] == [True, False]
    assert storage.read("a") == b"1"


def test_s3_is_asked_for_no_checksums_of_its_own(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.command)
            asked.extend(name for name in self.headers if "checksum" in name.lower())
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "0" if self.command == "PUT" else "4")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"data")

        do_PUT = do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        storage = open_storage(bucket)
        storage.write("a", b"data")
        assert storage.read("a") == b"data"
        server.shutdown()
    assert asked == ["PUT", "HEAD", "GET"]


@given(
    st.lists(
        st.tuples(st.integers(-30, 130), st.sampled_from([0, 1, 2]), st.integers(-1, 60)),
        max_size=8,
    )
)
@settings(
    derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_range_reader_reads_like_a_file(
    tmp_path: Path, steps: list[tuple[int, int, int]]
) -> None:
    data = bytes(range(100))
    store = open_storage(str(tmp_path))
    store.write("a", data)
    reader, expected = io.BufferedReader(RangeReader(store, "a"), 16), io.BytesIO(data)
    for offset, whence, count in steps:
        base = (0, expected.tell(), len(data))[whence]
        target = max(0, base + offset)
        assert reader.seek(target) == expected.seek(target)
        assert reader.read(count) == expected.read(count)


def test_locations_find_their_store(tmp_path: Path) -> None:
    stores = Stores()
    open_storage(str(tmp_path)).write("a", b"here")
    storage, name = stores.locate(str(tmp_path / "a"))
    assert storage.read(name) == b"here"
    assert stores.locate(str(tmp_path / "b"))[0] is storage


def test_addresses(tmp_path: Path) -> None:
    open_storage(f"file://{tmp_path}/with%20space").write("a", b"1")
    assert (tmp_path / "with space" / "a").read_bytes() == b"1"
    for uri in ("gs://bucket/x", "s3:///x", "file://relative"):
        with pytest.raises(
            StorageError, match="expected a folder, file:///FOLDER or s3://BUCKET/PREFIX"
        ):
            open_storage(uri)
    with pytest.raises(StorageError, match="expected a folder or an address, got nothing"):
        open_storage("")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StorageError, match=r"writing a: No space left on device; free some and run again$"
    ):
        open_storage(str(tmp_path)).write("a", b"data")
    assert list(tmp_path.iterdir()) == []


PASSWORD = "aPasswordInAnAddress"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri", "variables"),
    [
        (f"s3://user:{PASSWORD}@bucket/x", {}),
        (f"https://user:{PASSWORD}@host/x", {}),
        (
            f"https://host/x?X-Amz-Signature={PASSWORD}&X-Amz-Security-Token={PASSWORD}&AWSAccessKeyId={PASSWORD}",
            {},
        ),
        ("s3://bucket/x", {"AWS_ENDPOINT_URL": f"http://user:{PASSWORD}@127.0.0.1:9"}),
        ("s3://bucket/x", {"AWS_ENDPOINT_URL": f"http://user:{PASSWORD}/{PASSWORD}@127.0.0.1:9"}),
        ("s3://bucket/x", {"AWS_ENDPOINT_URL": f"http://user:{PASSWORD}@[::1"}),
        ("s3://bucket/x", {"AWS_ENDPOINT_URL": f"http:// user:{PASSWORD}@host"}),
        (
            "s3://bucket/x",
            {
                "AWS_ENDPOINT_URL": "http://a.invalid",
                "HTTP_PROXY": f"http://user:{PASSWORD}@127.0.0.1:9",
            },
        ),
    ],
)
def test_passwords_in_addresses_are_not_repeated(
    uri: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anything")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SurgstreamError) as caught:
        open_storage(uri).size("a")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value, limit=0, chain=True))


def test_an_endpoint_with_a_password_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(
        ConfigError, match="endpoint_url: expected an address without user and password"
    ) as caught:
        build(S3Config, {"endpoint_url": f"http://user:{PASSWORD}@host"}, where="here")
    assert PASSWORD not in str(caught.value)


def test_what_is_too_large_to_be_a_record_is_not_read(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surgstream.shards.storage.base.MAX_READ", 4)
    storage.write("a", b"12345")
    with pytest.raises(StorageError, match=r"a: expected at most 4 bytes, got 5"):
        storage.read("a")


def test_a_store_that_cannot_be_reached_is_a_storage_error(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        StorageError,
        match=r"s3://nobody: .*bucket nobody at http://127.0.0.1:\d+ does not exist.*NoSuchBucket",
    ):
        open_storage("s3://nobody").read("a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises(StorageError, match="S3 is not set up"):
        open_storage(bucket)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="writing a"):
        LocalStorage(tmp_path / "file", "a file").write("a", b"")
