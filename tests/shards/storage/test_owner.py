"""Who writes to a store: one, whoever is killed, wherever it runs, and whatever the clocks say."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from surgstream.shards.errors import OwnedError, StorageError
from surgstream.shards.storage import owner
from surgstream.shards.storage.owner import OWNERS, HeartbeatPace, Owner, owning
from surgstream.shards.storage.owner_record import Record, this_process
from surgstream.shards.storage.stores import Storage, open_storage
from tests.helpers.packing import ROOT, contents
from tests.helpers.s3 import s3_bucket

QUICK = HeartbeatPace(beat_seconds=0.05, stale_seconds=0.5)
NEVER_STALE = HeartbeatPace(beat_seconds=0.05, stale_seconds=10**6)
"""A test that waits for a heart that does not beat does not end."""

OWNING = """
import sys, time
from surgstream.shards.storage.owner import owning
from surgstream.shards.storage.stores import open_storage

with owning(open_storage(sys.argv[1]), "training"):
    print("owns", flush=True)
    time.sleep(1000)
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("owned") as bucket:
        yield bucket


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> str:
    return str(tmp_path / "owned") if request.param == "folder" else f"{bucket}/{tmp_path.name}"


def elsewhere(**changes: Any) -> Record:
    """The record of a process of another machine."""
    there = replace(this_process("training"), host="node17", machine="another boot", pid=4711)
    return replace(there, **changes)


@contextlib.contextmanager
def beating(storage: Storage, name: str, record: Record) -> Iterator[None]:
    """A record whose heart beats while the block runs."""
    ended = threading.Event()

    def beat() -> None:
        for beats in itertools.count():
            storage.write(name, replace(record, beats=beats).to_bytes())
            if ended.wait(0.05):
                return

    storage.write(name, record.to_bytes())
    heart = threading.Thread(target=beat)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()


@pytest.mark.slow
def test_a_second_one_is_refused_in_one_sentence_and_touches_nothing(uri: str) -> None:
    storage = open_storage(uri)
    with owning(storage, "training") as first:
        before = {name: storage.version(name) for name in storage.sizes()}
        with pytest.raises(OwnedError) as refused, owning(open_storage(uri), "packing"):
            pass
        assert {name: storage.version(name) for name in storage.sizes()} == before
        first.check()
    told = str(refused.value)
    assert told.startswith(
        f"{uri}: expected nobody else to write there, got training on {this_process('').host}"
    )
    assert f"(process {os.getpid()}) since " in told and "\n" not in told
    assert list(storage.sizes()) == []
    with owning(storage, "packing"):
        pass


@pytest.mark.slow
def test_who_was_killed_owns_nothing_any_more(uri: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNING, uri], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "owns\n"
        with (
            pytest.raises(OwnedError, match=rf"\(process {process.pid}\)"),
            owning(open_storage(uri), "training"),
        ):
            pass
        process.send_signal(signal.SIGKILL)
    with owning(open_storage(uri), "training", pace=NEVER_STALE):
        assert len(open_storage(uri).sizes()) == 1, "the dead one's record is gone"


def test_a_process_id_that_is_used_again_is_another_process(uri: str) -> None:
    storage = open_storage(uri)
    storage.write(
        f"{OWNERS}/00000007", replace(this_process("training"), started="1", token="a").to_bytes()
    )
    with owning(storage, "training", pace=NEVER_STALE):
        assert list(storage.sizes()) == [f"{OWNERS}/00000008"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "minutes", [-5, 0, 5], ids=lambda minutes: f"a clock {minutes} minutes off"
)
def test_another_host_is_judged_by_its_heart_and_not_by_its_clock(minutes: int, uri: str) -> None:
    storage, name = open_storage(uri), f"{OWNERS}/00000003"
    record = elsewhere(since=str(datetime.now(UTC) + timedelta(minutes=minutes)))

    def set_clock() -> None:
        if not uri.startswith("s3://"):
            moment = time.time() + 60 * minutes
            os.utime(Path(uri) / name, (moment, moment))

    with beating(storage, name, record):
        set_clock()
        with pytest.raises(OwnedError, match=r"got training on node17 \(process 4711"):
            owning(storage, "training", pace=NEVER_STALE).__enter__()
    set_clock()
    with owning(storage, "training", pace=QUICK):
        assert list(storage.sizes()) == [f"{OWNERS}/00000004"]


@pytest.mark.slow
def test_a_host_whose_heart_stops_while_it_is_looked_at_has_ended(uri: str) -> None:
    storage = open_storage(uri)
    names = [f"{OWNERS}/shared-{number}" for number in range(3)]
    for name in names:
        storage.write(name, elsewhere(token=name).to_bytes())
    started = time.monotonic()
    with owning(storage, "packing", pace=QUICK):
        assert len(storage.sizes()) == 1
    assert time.monotonic() - started < 1000, "all three are watched at the same time"


@pytest.mark.slow
def test_a_requeued_job_takes_over_from_its_own_earlier_start_at_once(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm may have lost a node that goes on: that one finds out before it writes."""
    monkeypatch.setenv("SLURM_JOB_ID", "4242")
    storage = open_storage(uri)
    lost = Owner(storage, elsewhere(job="4242"), shared=False, pace=NEVER_STALE)
    lost.take(wait=False)
    lost.check()
    with pytest.raises(OwnedError), beating(storage, f"{OWNERS}/00000001", elsewhere(job="4242")):
        owning(open_storage(uri), "training", pace=NEVER_STALE).__enter__()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with owning(open_storage(uri), "training", pace=NEVER_STALE) as next_start:
        with pytest.raises(
            OwnedError, match=r"got training on .* Slurm job 4242\) since .* which has taken over"
        ):
            lost.check()
        lost.give_back()
        next_start.check()


@pytest.mark.slow
def test_another_job_waits_for_a_sign_of_life(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4243")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "7")
    with (
        beating(open_storage(uri), f"{OWNERS}/00000001", elsewhere(job="4242")),
        pytest.raises(OwnedError),
    ):
        owning(open_storage(uri), "training", pace=NEVER_STALE).__enter__()


def test_one_of_many_wins_where_exclusive_creation_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = Path.open

    def lying(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        return open_file(path, mode.replace("x", "w"), *more, **options)

    monkeypatch.setattr(Path, "open", lying)
    for attempt in range(5):
        storage, together, tokens = (
            open_storage(str(tmp_path / str(attempt))),
            threading.Barrier(8),
            range(8),
        )

        def start(
            token: int, storage: Storage = storage, together: threading.Barrier = together
        ) -> Owner | None:
            found = Owner(
                storage,
                replace(this_process("training"), token=str(token)),
                shared=False,
                pace=QUICK,
            )
            together.wait()
            try:
                found.take(wait=False)
            except OwnedError:
                return None
            return found

        with ThreadPoolExecutor(8) as pool:
            owners = [found for found in pool.map(start, tokens) if found]
        assert len(owners) == 1
        owners[0].check()
        owners[0].give_back()


def test_a_record_that_could_not_be_removed_keeps_its_own_process_out_of_nothing(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for itself for ever: others see that it lives, and it does not go stale."""
    answered = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(Owner, "_beat", lambda _: answered.wait(30))
        with owning(open_storage(uri), "packing", pace=QUICK):
            pass
    assert any(name.startswith(OWNERS) for name in open_storage(uri).sizes(""))

    with owning(open_storage(uri), "packing"):
        answered.set()
    assert not any(name.startswith(OWNERS) for name in open_storage(uri).sizes(""))


def test_one_that_a_store_refused_to_delete_keeps_its_own_process_out_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(str(tmp_path / "owned"))
    with monkeypatch.context() as patched:
        patched.setattr(type(storage), "delete", refuse)
        with owning(storage, "packing"):
            pass
    assert any(name.startswith(OWNERS) for name in storage.sizes(""))
    with owning(storage, "packing"):
        pass


def refuse(*_: object) -> None:
    raise StorageError("no")


@pytest.mark.slow
def test_those_who_wait_come_one_after_the_other(uri: str) -> None:
    inside = 0

    def come(_: int) -> None:
        nonlocal inside
        with owning(open_storage(uri), "staging", wait=True, pace=QUICK):
            inside += 1
            alone = inside == 1
            time.sleep(0.02)
            inside -= 1
        assert alone

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come, range(8)))


@pytest.mark.slow
def test_those_who_share_keep_out_only_those_who_do_not(uri: str) -> None:
    storage = open_storage(uri)
    with (
        owning(storage, "packing", shared=True) as one,
        owning(storage, "packing", shared=True) as other,
    ):
        with pytest.raises(OwnedError, match="got packing on"):
            owning(storage, "packing").__enter__()
        one.check()
        other.check()
    with owning(storage, "packing") as alone:
        with pytest.raises(OwnedError):
            owning(storage, "packing", shared=True).__enter__()
        alone.check()


def test_of_many_who_share_each_reads_its_own_record_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, read = open_storage(str(tmp_path)), list[str]()
    for number in range(100):
        storage.write(f"{OWNERS}/shared-{number}", this_process("packing").to_bytes())
    read_file = storage.read
    monkeypatch.setattr(storage, "read", lambda name: read.append(name) or read_file(name))
    with owning(storage, "packing", shared=True) as found:
        found.check()
    assert len(set(read)) == 1 and not set(read) & {
        f"{OWNERS}/shared-{number}" for number in range(100)
    }


def test_a_heart_beats_until_the_store_is_given_back(uri: str) -> None:
    storage, versions = open_storage(uri), set()
    with owning(storage, "training", pace=QUICK):
        (name,) = storage.sizes()
        while len(versions) < 4:
            versions.add(storage.version(name))
    assert storage.size(name) is None


def test_who_was_taken_over_while_it_slept_does_not_come_back(uri: str) -> None:
    """Its record is not written again, which would keep others out."""
    storage = open_storage(uri)
    with owning(storage, "training", pace=QUICK):
        (name,) = storage.sizes()
        storage.delete(name)
        later = f"{OWNERS}/00000009"
        storage.write(later, elsewhere().to_bytes())
        time.sleep(5 * QUICK.beat_seconds)
        assert list(storage.sizes()) == [later]
    assert list(storage.sizes()) == [later]


def test_somebody_who_came_and_went_meanwhile_is_noticed(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a dead owner and the claim, others come, end, and a third begins with the first number."""
    storage, third = open_storage(uri), f"{OWNERS}/00000001"
    storage.write(third, elsewhere(token="dead").to_bytes())
    late = Owner(storage, this_process("training"), shared=False, pace=QUICK)
    claim = late._claim

    def late_claim(ended: owner.Records) -> bool:
        storage.write(third, elsewhere(token="third").to_bytes())
        return claim(ended)

    monkeypatch.setattr(late, "_claim", late_claim)
    with beating(storage, f"{OWNERS}/shared-x", elsewhere()), pytest.raises(OwnedError):
        late.take(wait=False)
    late._claim = lambda ended: claim(ended)  # type: ignore[method-assign]
    assert not late_claim({third: elsewhere(token="dead")})
    assert third in storage.sizes() and f"{OWNERS}/00000002" not in storage.sizes()


@pytest.mark.slow
def test_a_record_that_was_made_although_its_answer_was_lost_is_ones_own(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(uri)
    create = storage.create

    def answer_lost(name: str, data: bytes) -> bool:
        create(name, data)
        return False

    monkeypatch.setattr(storage, "create", answer_lost)
    with owning(storage, "packing") as found:
        found.check()


def test_a_process_that_may_not_be_seen_is_judged_by_its_heart(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "is_hidden", lambda pid: True)
    storage, other = (
        open_storage(uri),
        replace(this_process("training"), pid=2**22 + 1, token="another's"),
    )
    with beating(storage, f"{OWNERS}/00000001", other), pytest.raises(OwnedError):
        owning(storage, "training", pace=NEVER_STALE).__enter__()


def test_what_cannot_be_given_back_goes_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not answer keeps nobody from ending."""
    storage, asked, ended = open_storage(str(tmp_path)), threading.Event(), threading.Event()

    def silent(*_: object) -> None:
        asked.set()
        ended.wait(60)

    with owning(storage, "training", pace=QUICK):
        monkeypatch.setattr(storage, "write", silent)
        asked.wait(60)
    assert not ended.is_set() and len(storage.sizes()) == 1
    ended.set()


def test_what_a_network_file_system_leaves_there_is_no_record(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write(f"{OWNERS}/.nfs0000000100000001", this_process("training").to_bytes())
    with owning(storage, "training") as found:
        found.check()


def test_a_record_that_is_none_is_told_of(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write(f"{OWNERS}/00000001", b"what is this?")
    with pytest.raises(
        StorageError,
        match="00000001: expected the record of a writer, got something else; remove it",
    ):
        owning(storage, "training").__enter__()
    assert len(contents(tmp_path)) == 1
