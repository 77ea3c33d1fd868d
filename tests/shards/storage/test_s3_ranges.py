"""The fetcher against a server that answers, through a proxy that does not."""

import os
import threading
import time
from collections.abc import Iterator

import boto3
import pytest

from surgstream.shards.errors import StorageError
from surgstream.shards.storage.retry import RetryConfig
from surgstream.shards.storage.s3_failures import retry_after
from surgstream.shards.storage.stores import S3Config, Storage, open_storage, read_range
from tests.helpers.faults import Fault, FaultProxy, Plan, Request
from tests.helpers.s3 import s3_bucket

SIZE = 5 * 2**20
CONTENT = os.urandom(SIZE)
FAST = RetryConfig(timeout_seconds=3.0, first_delay_seconds=0.02, max_delay_seconds=0.1)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("fetched") as bucket:
        boto3.client("s3").put_object(Bucket="fetched", Key="here/shard.tar", Body=CONTENT)
        yield bucket


@pytest.fixture
def storage(bucket: str, proxy: FaultProxy) -> Storage:
    return open_storage(f"{bucket}/here", reached_by(proxy))


def reached_by(proxy: FaultProxy, **changes: object) -> S3Config:
    settings = {"endpoint_url": proxy.endpoint, "read_timeout_seconds": 0.4, "retry": FAST}
    return S3Config(**(settings | changes))  # type: ignore[arg-type]


def first(*faults: Fault) -> Plan:
    """The first requests meet these faults, the others none."""
    return lambda request: faults[request.number] if request.number < len(faults) else None


FAULTS = {
    "reset_before": (Fault("reset_before"), "connection"),
    "reset": (Fault("reset", at=SIZE // 4), "broken_body"),
    "early_end": (Fault("early_end", at=SIZE // 4), "broken_body"),
    "stall": (Fault("stall", at=SIZE // 4), "timeout"),
    "slow_down": (Fault("slow_down"), "throttled"),
    "server_error": (Fault("server_error"), "server"),
    "expired": (Fault("refused"), "expired"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_counted_and_survived(kind: str, storage: Storage, proxy: FaultProxy) -> None:
    fault, cause = FAULTS[kind]
    proxy.plan = first(fault, fault)
    assert read_range(storage, "shard.tar", 7, SIZE) == CONTENT[7:]
    assert storage.retries == {cause: 2}


def test_a_broken_body_is_resumed_at_its_last_good_byte(
    storage: Storage, proxy: FaultProxy
) -> None:
    proxy.plan = first(Fault("early_end", at=3_000_000), Fault("early_end", at=1_000_000))
    assert read_range(storage, "shard.tar", 100, SIZE) == CONTENT[100:]
    starts = [
        int(str(request.range).removeprefix("bytes=").partition("-")[0])
        for request in proxy.requests
    ]
    assert starts == [100, 3_000_100, 4_000_100]


def test_an_object_is_asked_for_by_its_first_etag(storage: Storage, proxy: FaultProxy) -> None:
    read_range(storage, "shard.tar", 0, 10)
    client = boto3.client("s3")
    try:
        client.put_object(Bucket="fetched", Key="here/shard.tar", Body=CONTENT[::-1])
        with pytest.raises(StorageError, match=r"shard\.tar.*was replaced while the run read it"):
            read_range(storage, "shard.tar", 0, 10)
    finally:
        client.put_object(Bucket="fetched", Key="here/shard.tar", Body=CONTENT)
    assert len(proxy.requests) == 2, "to ask again would not help"


def test_retry_after_is_honoured(storage: Storage, proxy: FaultProxy) -> None:
    proxy.plan = first(Fault("slow_down", retry_after=1))
    started = time.monotonic()
    read_range(storage, "shard.tar", 0, 10)
    assert time.monotonic() - started >= 1.0


@pytest.mark.slow
def test_a_store_that_fails_for_too_long_ends_the_read_with_the_history(
    storage: Storage, proxy: FaultProxy
) -> None:
    proxy.plan = lambda request: Fault("slow_down") if request.number % 2 else Fault("reset_before")
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        read_range(storage, "shard.tar", 5, 15)
    assert FAST.timeout_seconds <= time.monotonic() - started < 3 * FAST.timeout_seconds
    message = str(caught.value)
    assert "bucket fetched, key here/shard.tar" in message and "bytes 5 to 15" in message
    assert (
        "HTTP 503 SlowDown, request id proxy" in message
        and "failed tries" in message
        and "connection (" in message
    )
    assert len(message) < 4000, "a history, not a novel"


@pytest.mark.slow
def test_bytes_that_come_count_as_progress(storage: Storage, proxy: FaultProxy) -> None:
    """Each body ends early, for longer in all than the timeout, but every try brings something."""
    step = SIZE // 12

    def plan(request: Request) -> Fault:
        time.sleep(FAST.timeout_seconds / 10)
        return Fault("early_end", at=step)

    proxy.plan = plan
    assert read_range(storage, "shard.tar", 0, SIZE) == CONTENT


def test_what_cannot_get_better_is_not_tried_again(storage: Storage, proxy: FaultProxy) -> None:
    with pytest.raises(StorageError, match=r"nothing\.tar.*is missing"):
        read_range(storage, "nothing.tar", 0, 10)
    with pytest.raises(StorageError, match=r"shard\.tar.*cut short"):
        read_range(storage, "shard.tar", SIZE - 5, SIZE + 5)
    with pytest.raises(StorageError, match=r"shard\.tar.*cut short"):
        read_range(storage, "shard.tar", SIZE + 5, SIZE + 10)
    assert len(proxy.requests) == 3


def test_a_reader_that_closes_does_not_wait_for_a_failing_store(
    storage: Storage, proxy: FaultProxy
) -> None:
    proxy.plan = lambda request: Fault("slow_down", retry_after=100)
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    with pytest.raises(StorageError, match="cancelled: the reader is closing"):
        storage.read_into("shard.tar", 0, memoryview(bytearray(10)), stop)
    assert time.monotonic() - started < FAST.timeout_seconds


def test_connections_are_used_again(storage: Storage, proxy: FaultProxy) -> None:
    for _ in range(20):
        read_range(storage, "shard.tar", 0, 1000)
    assert len(proxy.connections) == 1


def test_retry_after_reads_seconds_and_dates() -> None:
    assert retry_after("7") == 7.0
    assert retry_after("Thu, 01 Jan 1970 00:02:00 GMT", now=lambda: 100.0) == 20.0
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT", now=lambda: 100.0) == 0.0
    assert retry_after("soon") is None and retry_after(None) is None
