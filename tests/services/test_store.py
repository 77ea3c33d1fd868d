"""Reading and packing against a real S3 server: credentials, restarts, replaced objects, faults at random."""

import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest

from launch.__main__ import main
from shards.clips import ClipBytes
from shards.errors import StorageError
from shards.order import Order, OrderConfig
from shards.retry import RetryConfig
from shards.storage import S3Config, open_storage
from shards.stream import ClipStream, ReadConfig
from shards.table import FrameTable
from tests.helpers.faults import Fault, Kind, Request, fault_proxy
from tests.helpers.handmade import write_corpus
from tests.services.conftest import write_credentials
from tests.services.rgw import OTHER_ACCESS_KEY, OTHER_SECRET_KEY, SECRET_KEY, Gateway

NUM_FRAMES, STRIDE, DRAWS = 4, 3, 960
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


def stream(uri: str, config: S3Config, start: int = 0, rank: int = 0, world_size: int = 1) -> ClipStream:
    table = FrameTable.open(open_storage(uri, config), check=False)
    return ClipStream(
        table,
        Order.create(table.sizes(), 5, OrderConfig(lanes=6, chunk_frames=7)),
        num_frames=NUM_FRAMES,
        stride=STRIDE,
        global_batch_size=12,
        micro_batch_size=1,
        rank=rank,
        world_size=world_size,
        start=start,
        stop=DRAWS,
        read=ReadConfig(threads=4),
    )


def content(clips: Iterator[list[ClipBytes]]) -> list[tuple[int, str, int, list[bytes]]]:
    return [
        (clip.g, clip.video, clip.anchor_frame, [frame.tobytes() for frame in clip.frames])
        for batch in clips
        for clip in batch
    ]


@pytest.fixture
def expected(folder: Path) -> list[tuple[int, str, int, list[bytes]]]:
    with stream(str(folder), S3Config()) as clips:
        return content(iter(clips))


def test_a_corpus_is_packed_and_verified(tmp_path: Path, bucket: str) -> None:
    assert main(["synth", str(tmp_path / "videos"), "--seconds", "2"]) == 0
    out = f"s3://{bucket}/packed"
    assert main(["pack", str(tmp_path / "videos" / "corpus.yaml"), out, "short_side=72", "fps=5"]) == 0
    assert main(["verify", out]) == 0


@pytest.mark.parametrize("style", ["path", "auto"])
def test_the_stream_is_that_of_a_folder(uri: str, style: str, expected: list[object]) -> None:
    with stream(uri, S3Config(addressing_style=style)) as clips:  # type: ignore[arg-type]
        assert content(iter(clips)) == expected


def test_wrong_credentials_are_said_at_once_and_kept_secret(uri: str, credentials: Path) -> None:
    write_credentials(credentials, "surgstreamtest", "wrong" + SECRET_KEY)
    with pytest.raises(StorageError) as caught:
        open_storage(uri).read_into("manifest.json", 0, memoryview(bytearray(4)))
    assert "access is denied; check the credentials" in str(caught.value) and "SignatureDoesNotMatch" in str(
        caught.value
    )
    assert SECRET_KEY not in str(caught.value)


def test_anonymous_readers_read_public_objects_alone(uri: str, bucket: str, credentials: Path) -> None:
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
    with stream(uri, S3Config(retry=PATIENT)) as clips:
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
        return Fault("expired") if request.number >= 40 and request.access_key != OTHER_ACCESS_KEY else None

    with (
        fault_proxy(gateway.endpoint, old_keys_expire) as proxy,
        stream(uri, S3Config(endpoint_url=proxy.endpoint, retry=PATIENT)) as clips,
    ):
        batches = iter(clips)
        first = content(next(batches) for _ in range(5))
        threading.Timer(0.5, write_credentials, (credentials, OTHER_ACCESS_KEY, OTHER_SECRET_KEY)).start()
        assert first + content(batches) == expected
        assert clips.retries["expired"] > 0


def test_a_shard_that_is_replaced_under_the_run_ends_it(uri: str, bucket: str, folder: Path) -> None:
    with stream(uri, S3Config()) as clips:
        batches = iter(clips)
        next(batches)
        content(next(batches) for _ in range(60))
        for path in folder.rglob("*.tar"):
            data = path.read_bytes()
            key = f"corpus/{path.relative_to(folder).as_posix()}"
            boto3.session.Session().client("s3").put_object(Bucket=bucket, Key=key, Body=data + bytes(512))
        with pytest.raises(StorageError, match=r"was replaced while the run read it"):
            content(batches)


KINDS: tuple[Kind, ...] = ("reset_before", "reset", "early_end", "slow_down", "server_error", "flip", "stall")


def test_a_hundred_kills_and_resumes_under_faults_leave_the_plan_as_it_was(
    uri: str, gateway: Gateway, expected: list[tuple[int, str, int, list[bytes]]]
) -> None:
    """One request in twenty meets a fault; the world size changes at every resume; the union is the plan."""
    luck = np.random.default_rng(0)

    def plan(request: Request) -> Fault | None:
        if request.method != "GET" or request.number % 20:
            return None
        return Fault(KINDS[request.number // 20 % len(KINDS)], at=request.number % 700)

    got: dict[int, tuple[int, str, int, list[bytes]]] = {}
    with fault_proxy(gateway.endpoint, plan) as proxy:
        config = S3Config(endpoint_url=proxy.endpoint, retry=PATIENT, read_timeout_seconds=0.3)
        g, resumes = 0, 0
        while resumes < 100:
            world_size = int(luck.choice([1, 2, 3, 4, 6]))
            steps = int(luck.integers(1, 5)) if g < DRAWS - 60 else (DRAWS - g) // 12
            for rank in range(world_size):
                with stream(uri, config, start=g, rank=rank, world_size=world_size) as clips:
                    batches = iter(clips)
                    for clip in content(next(batches) for _ in range(steps * 12 // world_size)):
                        assert clip[0] not in got or got[clip[0]] == clip
                        got[clip[0]] = clip
            g, resumes = (g + steps * 12) % DRAWS, resumes + 1
        assert {request.number for request in proxy.requests} >= {0, 20, 40}
    assert [got[clip[0]] for clip in expected if clip[0] in got] == [clip for clip in expected if clip[0] in got]
    assert got.keys() == {clip[0] for clip in expected}, "several passes over all draws"
