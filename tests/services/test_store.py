"""Reading and packing against a real S3 server: credentials, restarts, replaced objects, faults at random."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import boto3
import numpy as np
import pytest

from surgstream.launch.__main__ import main
from surgstream.shards.errors import StorageError
from surgstream.shards.reading.clips import ClipBytes
from surgstream.shards.storage.retry import RetryConfig
from surgstream.shards.storage.s3_upload import PART_BYTES
from surgstream.shards.storage.stores import S3Config, Storage, open_storage, read_range
from tests.helpers.faults import SEED, Fault, RandomFaults, Request, fault_proxy
from tests.helpers.handmade import write_corpus
from tests.helpers.ranks import kill, start_ranks, wait_for
from tests.services.conftest import write_credentials
from tests.services.reading import BATCH, consume, consumed, line, stream
from tests.services.rgw import ACCESS_KEY, OTHER_ACCESS_KEY, OTHER_SECRET_KEY, SECRET_KEY, Gateway

DRAWS = 960
PATIENT = RetryConfig(timeout_seconds=30, first_delay_seconds=0.02, max_delay_seconds=0.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture
def uri(folder: Path, bucket: str) -> str:
    client = boto3.session.Session().client("s3")
    for path in folder.rglob("*.*"):
        client.upload_file(str(path), bucket, f"corpus/{path.relative_to(folder).as_posix()}")
    return f"s3://{bucket}/corpus"


def content(clips: Iterator[list[ClipBytes]]) -> list[tuple[int, str, int, list[bytes]]]:
    return [
        (clip.draw, clip.video, clip.anchor_frame, [frame.tobytes() for frame in clip.frames])
        for batch in clips
        for clip in batch
    ]


@pytest.fixture
def expected(folder: Path) -> list[tuple[int, str, int, list[bytes]]]:
    with stream(str(folder), S3Config(), DRAWS) as clips:
        return content(iter(clips))


def test_a_corpus_is_packed_and_verified(tmp_path: Path, bucket: str) -> None:
    assert main(["synth", str(tmp_path / "videos"), "--seconds", "2"]) == 0
    out = f"s3://{bucket}/packed"
    assert (
        main(["pack", str(tmp_path / "videos" / "corpus.yaml"), out, "short_side=72", "fps=5"]) == 0
    )
    assert main(["verify", out]) == 0


@pytest.mark.parametrize("style", ["path", "auto"])
def test_the_stream_is_that_of_a_folder(uri: str, style: str, expected: list[object]) -> None:
    with stream(uri, S3Config(addressing_style=style), DRAWS) as clips:  # type: ignore[arg-type]
        assert content(iter(clips)) == expected


def test_wrong_credentials_are_said_at_once_and_kept_secret(uri: str, credentials: Path) -> None:
    write_credentials(credentials, "surgstreamtest", "wrong" + SECRET_KEY)
    with pytest.raises(StorageError) as caught:
        open_storage(uri).read_into("manifest.json", 0, memoryview(bytearray(4)))
    assert "access is denied; check the credentials" in str(
        caught.value
    ) and "SignatureDoesNotMatch" in str(caught.value)
    assert SECRET_KEY not in str(caught.value)


def test_anonymous_readers_read_public_objects_alone(
    uri: str, bucket: str, credentials: Path
) -> None:
    client = boto3.session.Session().client("s3")
    credentials.unlink()
    nobody = S3Config(anonymous=True)
    with pytest.raises(StorageError, match="access is denied"):
        open_storage(uri, nobody).read_into("manifest.json", 0, memoryview(bytearray(4)))
    client.put_object_acl(Bucket=bucket, Key="corpus/manifest.json", ACL="public-read")
    open_storage(uri, nobody).read_into("manifest.json", 0, memoryview(bytearray(4)))


def test_a_server_that_is_killed_and_started_again_costs_time_alone(
    uri: str, gateway: Gateway, expected: list[object]
) -> None:
    with stream(uri, S3Config(retry=PATIENT), DRAWS) as clips:
        batches = iter(clips)
        first = content(next(batches) for _ in range(200))
        gateway.kill_gateway()
        threading.Timer(1.0, gateway.start_gateway).start()
        rest = content(batches)
    assert first + rest == expected
    assert clips.retries["connection"] > 0


def test_a_token_that_expires_is_renewed_from_where_it_came(
    uri: str, gateway: Gateway, credentials: Path, expected: list[object]
) -> None:
    def old_keys_expire(request: Request) -> Fault | None:
        return (
            Fault("refused")
            if request.number >= 40 and request.access_key != OTHER_ACCESS_KEY
            else None
        )

    with (
        fault_proxy(gateway.endpoint, old_keys_expire) as proxy,
        stream(uri, S3Config(endpoint_url=proxy.endpoint, retry=PATIENT), DRAWS) as clips,
    ):
        batches = iter(clips)
        first = content(next(batches) for _ in range(5))
        threading.Timer(
            0.5, write_credentials, (credentials, OTHER_ACCESS_KEY, OTHER_SECRET_KEY)
        ).start()
        assert first + content(batches) == expected
        assert clips.retries["expired"] > 0


@contextmanager
def upload(storage: Storage, *, rest: int = 0) -> Iterator[None]:
    """An upload, two parts of which are sent when the block begins, and so many bytes more when it ends."""
    with storage.writer("big") as sink:
        sink.write(bytes(2 * PART_BYTES))
        yield
        sink.write(bytes(rest))


def upload_whole(storage: Storage) -> None:
    with upload(storage):
        pass


def test_a_key_that_is_replaced_ends_no_request(
    bucket: str, gateway: Gateway, credentials: Path
) -> None:
    """Each kind of request is the first one after its store, opened and used before, has lost its key."""
    kinds: dict[str, Callable[[Storage], object]] = {
        "range": lambda storage: read_range(storage, "a", 0, 4),
        "size": lambda storage: storage.size("a"),
        "missing": lambda storage: storage.size("nothing"),
        "list": lambda storage: storage.sizes(),
        "write": lambda storage: storage.write("b", b"new"),
        "create": lambda storage: storage.create("c", b"new"),
        "replace": lambda storage: storage.replace("a", b"new", storage.version("a")),
        "delete": lambda storage: storage.delete("a"),
        "sweep": lambda storage: storage.sweep(lambda _: True),
        "upload": upload_whole,
    }
    stores = {
        kind: open_storage(f"s3://{bucket}/{kind}")
        for kind in (*kinds, "part", "complete", "abort")
    }
    for storage in stores.values():
        storage.write("a", b"data")
    uploads = {
        kind: upload(stores[kind], rest=5 * (kind == "part"))
        for kind in ("part", "complete", "abort")
    }
    for begun in uploads.values():
        begun.__enter__()

    gateway.add_key("surgstreamthird", "aThirdOne")
    write_credentials(credentials, "surgstreamthird", "aThirdOne")
    gateway.remove_key(ACCESS_KEY)
    try:
        for kind, act in kinds.items():
            act(stores[kind])
        for kind in ("part", "complete"):
            uploads[kind].__exit__(None, None, None)
        uploads["abort"].__exit__(ZeroDivisionError, ZeroDivisionError(), None)
        renewals = {kind: storage.retries["expired"] for kind, storage in stores.items()}
        assert renewals == dict.fromkeys(stores, 1)
        sizes = [stores[kind].size("big") for kind in uploads]
        assert sizes == [2 * PART_BYTES + 5, 2 * PART_BYTES, None]
    finally:
        gateway.add_key(ACCESS_KEY, SECRET_KEY)
        gateway.remove_key("surgstreamthird")


def test_a_bucket_that_is_not_there_is_told_as_such(bucket: str) -> None:
    for act in (
        lambda store: store.size("a"),
        lambda store: store.read("a"),
        lambda store: store.sizes(),
    ):
        with pytest.raises(StorageError, match=rf"bucket {bucket}0 at http.* does not exist"):
            act(open_storage(f"s3://{bucket}0/corpus"))


def test_a_shard_that_is_replaced_under_the_run_ends_it(
    uri: str, bucket: str, folder: Path
) -> None:
    with stream(uri, S3Config(), DRAWS) as clips:
        batches = iter(clips)
        next(batches)
        content(next(batches) for _ in range(60))
        for path in folder.rglob("*.tar"):
            data = path.read_bytes()
            key = f"corpus/{path.relative_to(folder).as_posix()}"
            boto3.session.Session().client("s3").put_object(
                Bucket=bucket, Key=key, Body=data + bytes(512)
            )
        with pytest.raises(StorageError, match=r"was replaced while the run read it"):
            content(batches)


def test_a_hundred_kills_and_resumes_under_faults_leave_the_plan_as_it_was(
    uri: str, gateway: Gateway, folder: Path, tmp_path: Path
) -> None:
    """SIGKILL at any moment, another number of ranks at every resume; what was committed is the plan."""
    luck = np.random.default_rng(SEED)
    committed = list[str]()
    with fault_proxy(gateway.endpoint, faults := RandomFaults()) as proxy:
        config = S3Config(endpoint_url=proxy.endpoint, retry=PATIENT, read_timeout_seconds=0.3)
        for cycle in range(100):
            world_size, steps = int(luck.choice([1, 2, 3, 4, 6])), int(luck.integers(3))
            print(
                f"cycle {cycle}: {len(committed)} clips, {world_size} ranks, killed after {steps} steps"
            )
            logs = [tmp_path / f"{cycle}.rank{rank}" for rank in range(world_size)]
            ranks = start_ranks(
                consume, world_size, (uri, config, len(committed), str(tmp_path / str(cycle)))
            )
            wait_for(partial(all_did, steps, logs))
            assert set(kill(ranks)) == {-9}, "no rank ended before it was killed"
            while all_did(steps + 1, logs):
                steps += 1
            committed += [
                entry for log in logs for entry in consumed(log)[: steps * BATCH // world_size]
            ]
    assert faults.num_met > 50
    assert len(committed) >= 50 * BATCH, "the run got somewhere"
    with stream(str(folder), S3Config(), len(committed)) as clips:
        assert sorted(committed) == sorted(line(clip) for batch in clips for clip in batch)


def all_did(steps: int, logs: list[Path]) -> bool:
    """Whether every rank has consumed its share of so many steps."""
    return all(len(consumed(log)) * len(logs) >= steps * BATCH for log in logs)
