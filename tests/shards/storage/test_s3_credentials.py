"""Credentials that end: every request looks them up anew, once for all threads."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from surgstream.shards.errors import StorageError
from surgstream.shards.storage import s3_client
from surgstream.shards.storage.retry import RetryConfig
from surgstream.shards.storage.s3_upload import PART_BYTES
from surgstream.shards.storage.stores import S3Config, Storage, open_storage, read_range
from tests.helpers.faults import Fault, FaultProxy, Request
from tests.helpers.s3 import s3_bucket

pytestmark = pytest.mark.slow

CODES = (
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "RequestExpired",
    "InvalidToken",
    "InvalidTokenId",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
)


def write_whole(storage: Storage, size: int) -> None:
    with storage.writer("b") as sink:
        sink.write(bytes(size))


OPERATIONS: dict[str, Callable[[Storage], object]] = {
    "range": lambda storage: read_range(storage, "a", 1, 3),
    "read": lambda storage: storage.read("a"),
    "size": lambda storage: storage.size("a"),
    "version": lambda storage: storage.version("a"),
    "list": lambda storage: storage.sizes(),
    "tree": lambda storage: storage.tree(),
    "write": lambda storage: storage.write("b", b"new"),
    "create": lambda storage: storage.create("c", b"new"),
    "replace": lambda storage: storage.replace("a", b"new", storage.version("a")),
    "upload": lambda storage: write_whole(storage, 3),
    "upload in parts": lambda storage: write_whole(storage, PART_BYTES + 1),
    "delete": lambda storage: storage.delete("a"),
    "sweep": lambda storage: storage.sweep(lambda _: True),
}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("renewed") as bucket:
        yield bucket


@pytest.fixture
def keys(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes a key to where boto3 finds it."""
    path = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def write(key: str) -> None:
        path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = hidden\n")

    write("Old")
    return write


@pytest.fixture
def storage(bucket: str, proxy: FaultProxy, keys: Callable[[str], None], tmp_path: Path) -> Storage:
    config = S3Config(endpoint_url=proxy.endpoint, retry=RetryConfig(timeout_seconds=0.2))
    storage = open_storage(f"{bucket}/{tmp_path.name}", config)
    storage.write("a", b"data")
    proxy.requests.clear()
    return storage


def no_longer(key: str, code: str, status: int = 400) -> Callable[[Request], Fault | None]:
    return lambda request: (
        Fault("refused", code=code, status=status) if request.access_key == key else None
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_survives_the_end_of_a_token(
    operation: str, storage: Storage, proxy: FaultProxy, keys: Callable[[str], None]
) -> None:
    keys("New")
    proxy.plan = no_longer("Old", "ExpiredToken")
    OPERATIONS[operation](storage)
    signed_by = [request.access_key for request in proxy.requests]
    refused = signed_by.count("Old")
    assert signed_by[:refused] == ["Old"] * refused and 1 <= refused <= 3, (
        "once, and told why where it is a HEAD"
    )
    assert signed_by[refused:] and set(signed_by[refused:]) == {"New"}
    assert storage.retries == {"expired": 1}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("operation", ["range", "size", "write"])
def test_every_code_that_fresh_credentials_may_cure_is_known(
    operation: str, code: str, storage: Storage, proxy: FaultProxy, keys: Callable[[str], None]
) -> None:
    keys("New")
    proxy.plan = no_longer("Old", code, 403)
    OPERATIONS[operation](storage)
    assert storage.retries == {"expired": 1}


@pytest.mark.parametrize("ends_at", ["POST", "PUT", "complete", "abort"])
def test_an_upload_survives_a_token_that_ends_on_its_way(
    ends_at: str, storage: Storage, proxy: FaultProxy, keys: Callable[[str], None]
) -> None:
    data = os.urandom(2 * PART_BYTES + 5)

    def end() -> None:
        keys("New")
        proxy.plan = no_longer("Old", "ExpiredToken")

    def plan(request: Request) -> Fault | None:
        if request.method == ends_at:
            end()
            return Fault("refused")
        return None

    proxy.plan = plan
    try:
        with storage.writer("b") as sink:
            sink.write(data)
            if ends_at in ("complete", "abort"):
                end()
            if ends_at == "abort":
                raise ZeroDivisionError
    except ZeroDivisionError:
        storage.sweep(lambda _: pytest.fail("the upload was not aborted"))
    else:
        assert storage.read("b") == data
    assert storage.retries == {"expired": 1}


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"])
@pytest.mark.parametrize("operation", ["range", "list", "write", "size"])
def test_credentials_that_are_simply_wrong_fail_at_once(
    operation: str, code: str, storage: Storage, proxy: FaultProxy
) -> None:
    proxy.plan = no_longer("Old", code, 403)
    with pytest.raises(StorageError, match=rf"access is denied; check the credentials .*{code}"):
        OPERATIONS[operation](storage)
    assert len(proxy.requests) == (4 if operation == "size" else 2), (
        "a HEAD that is refused is asked for its reason"
    )


@pytest.mark.parametrize("operation", ["range", "list", "write", "size", "upload in parts"])
def test_a_token_without_a_newer_one_is_a_sentence(
    operation: str, storage: Storage, proxy: FaultProxy
) -> None:
    proxy.plan = no_longer("Old", "ExpiredToken")
    with pytest.raises(
        StorageError, match="the token has expired, and boto3 finds no newer one; renew it"
    ):
        OPERATIONS[operation](storage)


def test_rights_that_are_missing_are_no_reason_for_other_credentials(
    storage: Storage, proxy: FaultProxy
) -> None:
    proxy.plan = no_longer("Old", "AccessDenied", 403)
    with pytest.raises(StorageError, match=r"access is denied; check .* s3:ListBucket"):
        storage.size("missing")
    assert not storage.retries and [request.method for request in proxy.requests] == ["HEAD", "GET"]


def test_many_threads_look_credentials_up_once(
    storage: Storage,
    proxy: FaultProxy,
    keys: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    all_refused, looked_up, connect = (
        threading.Barrier(8, timeout=60),
        list[str](),
        s3_client._connect,
    )

    def counted(config: S3Config) -> object:
        looked_up.append("once more")
        return connect(config)

    def plan(request: Request) -> Fault | None:
        if request.access_key == "New":
            return None
        all_refused.wait()
        return Fault("refused")

    keys("New")
    proxy.plan = plan
    monkeypatch.setattr(s3_client, "_connect", counted)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: read_range(storage, "a", 0, 4), range(8))) == {b"data"}
    assert len(looked_up) == 1


def test_credentials_that_were_not_there_for_a_moment_are_looked_for_again(
    storage: Storage, proxy: FaultProxy, keys: Callable[[str], None]
) -> None:
    Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).write_text("")
    proxy.plan = no_longer("Old", "ExpiredToken")
    with pytest.raises(StorageError, match="Unable to locate credentials"):
        storage.sizes()
    keys("New")
    assert list(storage.sizes()) == ["a"]
