"""Answers that stores give beside the usual ones: redirections, buckets that are not there, ETags of other kinds."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surgstream.shards.errors import StorageError
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.storage import s3_upload as upload
from surgstream.shards.storage.retry import RetryConfig
from surgstream.shards.storage.s3_upload import PART_BYTES
from surgstream.shards.storage.stores import S3Config, Storage, open_storage, read_range
from tests.helpers.faults import Fault, FaultProxy, Request
from tests.helpers.s3 import s3_bucket

ONCE = RetryConfig(timeout_seconds=0.1)


def send_whole(storage: Storage, data: bytes) -> None:
    with storage.writer("b") as sink:
        sink.write(data)


OPERATIONS: dict[str, Callable[[Storage], object]] = {
    "range": lambda storage: read_range(storage, "a", 1, 3),
    "size": lambda storage: storage.size("a"),
    "list": lambda storage: storage.sizes(),
    "write": lambda storage: storage.write("a", b"new"),
    "create": lambda storage: storage.create("c", b"new"),
    "upload": lambda storage: send_whole(storage, bytes(PART_BYTES + 1)),
    "delete": lambda storage: storage.delete("a"),
}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("answers") as bucket:
        yield bucket


@pytest.fixture
def storage(bucket: str, proxy: FaultProxy, tmp_path: Path) -> Storage:
    storage = open_storage(
        f"{bucket}/{tmp_path.name}", S3Config(endpoint_url=proxy.endpoint, retry=ONCE)
    )
    storage.write("a", b"data")
    return storage


@pytest.mark.slow
@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_redirection_is_one_sentence(
    operation: str, status: int, storage: Storage, proxy: FaultProxy
) -> None:
    elsewhere = (("Location", "https://user:secret@elsewhere.example/"),)
    proxy.plan = lambda request: Fault("refused", status=status, code="Moved", headers=elsewhere)
    proxy.requests.clear()
    with pytest.raises(StorageError) as caught:
        OPERATIONS[operation](storage)
    message = str(caught.value)
    assert (
        f"bucket answers at {proxy.endpoint} is not there: the answer points to https://...@elsewhere"
        in message
    )
    assert "set endpoint_url or region" in message and len(message) < 500
    assert len(proxy.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_bucket_of_another_region_is_followed_there(
    operation: str, storage: Storage, proxy: FaultProxy
) -> None:
    region = (("x-amz-bucket-region", "eu-central-1"),)

    def plan(request: Request) -> Fault | None:
        moved = Fault("refused", status=301, code="PermanentRedirect", headers=region)
        return None if request.region == "eu-central-1" else moved

    proxy.plan = plan
    OPERATIONS[operation](storage)


def test_a_bucket_that_is_in_no_region_is_followed_once(
    storage: Storage, proxy: FaultProxy
) -> None:
    region = (("x-amz-bucket-region", "eu-central-1"),)
    proxy.plan = lambda request: Fault(
        "refused", status=301, code="PermanentRedirect", headers=region
    )
    proxy.requests.clear()
    with pytest.raises(
        StorageError, match="points to the region eu-central-1; set endpoint_url or region"
    ):
        storage.sizes()
    assert len(proxy.requests) == 2


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_bucket_that_does_not_exist_is_told_as_such(operation: str, storage: Storage) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    with pytest.raises(
        StorageError, match=rf"bucket nowhere at {endpoint} does not exist; check its name"
    ):
        OPERATIONS[operation](open_storage("s3://nowhere/corpus"))
    with pytest.raises(StorageError, match=rf"bucket nowhere at {endpoint} does not exist"):
        Manifest.load(open_storage("s3://nowhere/corpus"))


def test_a_bucket_is_looked_for_once(storage: Storage, proxy: FaultProxy) -> None:
    proxy.requests.clear()
    assert [storage.size(f"missing{number}") for number in range(5)] == [None] * 5
    assert [request.method for request in proxy.requests] == [
        "HEAD",
        "GET",
        "HEAD",
        "HEAD",
        "HEAD",
        "HEAD",
    ]


def changed(storage: Storage, operation: str, change: Callable[[str], str]) -> list[dict[str, Any]]:
    """Answer with other ETags; returns a list to which what is asked is added."""
    asked = list[dict[str, Any]]()

    def answer(parsed: dict[str, Any], **_: object) -> None:
        if "ETag" in parsed:
            parsed["ETag"] = change(parsed["ETag"])

    for client in storage._client._clients:  # type: ignore[attr-defined]
        client.meta.events.register(f"after-call.s3.{operation}", answer)
        client.meta.events.register(
            f"provide-client-params.s3.{operation}", lambda params, **_: asked.append(params)
        )
    return asked


def no_md5(etag: str) -> str:
    digest, dash, parts = etag.strip('"').partition("-")
    return f'"{hashlib.md5(digest.encode()).hexdigest()}{dash}{parts}"'


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any store's ETags."""
    monkeypatch.setattr(upload, "_OTHER_ETAGS", set())


@pytest.mark.slow
@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("size", [0, 5, PART_BYTES + 77])
def test_sound_objects_stay_where_etags_only_look_like_md5s(
    size: int, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    data = os.urandom(size)
    changed(storage, "HeadObject", no_md5)
    read_back = changed(storage, "GetObject", str)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            send_whole(storage, data)
    ranges = -(-size // PART_BYTES)
    assert len(read_back) == ranges, "once"
    (warning,) = caplog.messages
    assert (
        "bucket answers at http" in warning and "its ETags look like MD5s and are none" in warning
    )
    assert storage.read("b") == data


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("size", [5, PART_BYTES + 77])
def test_damage_is_found_where_etags_only_look_like_md5s(size: int, storage: Storage) -> None:
    def flip(params: dict[str, Any], **_: object) -> None:
        """Damage the last body after its MD5 was taken, and tell this server, which does not look, nothing of that."""
        if params.pop("ContentMD5", None) and params.get("PartNumber", 2) == 2:
            params["Body"] = params["Body"][:-1] + b"x"

    changed(storage, "HeadObject", no_md5)
    for operation in ("UploadPart", "PutObject"):
        events = storage._client._clients.patient.meta.events  # type: ignore[attr-defined]
        events.register(f"provide-client-params.s3.{operation}", flip)
    with pytest.raises(StorageError, match="damaged on the way, and are removed"):
        send_whole(storage, bytes(size))
    assert storage.size("b") is None


def weak(etag: str) -> str:
    return f"W/{etag}"


@pytest.mark.slow
def test_weak_etags_are_compared_and_never_a_condition(storage: Storage) -> None:
    asked = changed(storage, "GetObject", weak)
    for _ in range(3):
        assert read_range(storage, "a", 0, 4) == b"data"
    assert len(asked) == 3 and not any("IfMatch" in params for params in asked)

    open_storage(storage.uri).write("a", b"else")
    with pytest.raises(StorageError, match="was replaced while the run read it"):
        read_range(storage, "a", 0, 4)


def test_an_etag_that_a_proxy_weakens_is_still_the_same(storage: Storage) -> None:
    answers = iter([weak, str, weak])
    changed(storage, "GetObject", lambda etag: next(answers)(etag))
    for _ in range(3):
        assert read_range(storage, "a", 0, 4) == b"data"


def test_objects_with_weak_etags_are_replaced(storage: Storage) -> None:
    changed(storage, "HeadObject", weak)
    put = changed(storage, "PutObject", weak)
    first = storage.version("a")
    storage.replace("a", b"newer", first)
    assert storage.read("a") == b"newer" and "IfMatch" not in put[0]
    with pytest.raises(StorageError, match="another process is writing there"):
        storage.replace("a", b"newest", first)


def test_objects_are_replaced_where_conditions_have_no_quotes(
    storage: Storage, proxy: FaultProxy
) -> None:
    def plan(request: Request) -> Fault | None:
        quoted = request.method == "PUT" and (request.if_match or "").startswith('"')
        return Fault("refused", status=412, code="PreconditionFailed") if quoted else None

    proxy.plan = plan
    first = storage.version("a")
    storage.replace("a", b"newer", first)
    assert storage.read("a") == b"newer"


def test_uploads_with_weak_etags_are_compared_by_length(storage: Storage) -> None:
    changed(storage, "HeadObject", weak)
    send_whole(storage, bytes(5))
    assert storage.size("b") == 5


def losing_one(method: str, path: str = "") -> Callable[[Request], Fault | None]:
    """A store that does what it is asked, and whose first answer to a kind of request never arrives."""
    left = [Fault("lost")]
    return lambda request: (
        left.pop() if left and request.method == method and path in request.path else None
    )


@pytest.mark.slow
def test_a_replacement_whose_answer_is_lost_has_replaced(
    storage: Storage, proxy: FaultProxy
) -> None:
    for name, data in (("a", b"new"), ("d", b"first")):
        was = storage.version(name)
        proxy.plan = losing_one("PUT")
        storage.replace(name, data, was)
        assert storage.read(name) == data
        with pytest.raises(StorageError, match="another process is writing"):
            storage.replace(name, b"other", was)


@pytest.mark.slow
@pytest.mark.parametrize("is_there", [True, False])
def test_an_upload_that_was_completed_before_is_taken_if_it_is_what_was_sent(
    is_there: bool, storage: Storage, proxy: FaultProxy
) -> None:
    data = os.urandom(PART_BYTES + 77)
    send_whole(storage, data if is_there else data[:-1] + bytes([data[-1] ^ 1]))

    def plan(request: Request) -> Fault | None:
        ends = request.method == "POST" and "uploadId" in request.path
        return Fault("refused", status=404, code="NoSuchUpload") if ends else None

    proxy.plan = plan
    if is_there:
        send_whole(storage, data)
    else:
        with pytest.raises(StorageError, match="NoSuchUpload"):
            send_whole(storage, data)


def test_what_ends_an_upload_is_told_where_it_cannot_be_taken_back(
    storage: Storage, proxy: FaultProxy
) -> None:
    with pytest.raises(KeyboardInterrupt), storage.writer("b") as sink:
        sink.write(bytes(PART_BYTES))
        proxy.plan = lambda request: Fault("refused", status=403, code="AccessDenied")
        raise KeyboardInterrupt
