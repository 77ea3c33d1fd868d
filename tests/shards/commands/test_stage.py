"""`surgstream stage`: what is copied, what is not copied again, and what is refused."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.commands.stage import stage
from surgstream.shards.errors import StorageError
from surgstream.shards.storage.owner import OWNERS, owning
from surgstream.shards.storage.stores import LocalStorage, open_storage
from tests.helpers.commands import stage as main
from tests.helpers.faults import Fault, fault_proxy
from tests.helpers.packing import contents, start, wait_until
from tests.helpers.s3 import s3_bucket

SHARD = "d/d-000000.tar"
PARTIAL = f"d/.d-000000.tar.{'0' * 32}.partial"


@pytest.fixture
def corpus(six_shards: Path) -> Path:
    return six_shards / "out"


@pytest.fixture
def staged(corpus: Path, tmp_path: Path) -> Path:
    assert main([str(corpus), str(tmp_path / "staged")]) == 0
    return tmp_path / "staged"


def to_read(corpus: Path) -> dict[str, bytes]:
    """What training reads of a corpus."""
    files = contents(corpus)
    return {name: files[name] for name in files if name.endswith((".tar", ".idx", "manifest.json"))}


@pytest.mark.slow
def test_a_folder_and_a_store_and_a_folder(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("surgstream.shards.commands.stage.PIECE_BYTES", 10_000)
    with s3_bucket("staged") as bucket:
        assert main([f"file://{corpus}", f"{bucket}/corpus"]) == 0
        assert main([f"{bucket}/corpus", str(tmp_path / "back"), "--files", "2"]) == 0
    total = (
        sum(len(data) for name, data in to_read(corpus).items() if name != "manifest.json") / 1e6
    )
    line = f"6 shards, {total:.1f} MB: {total:.1f} MB copied, the rest was already there\n"
    assert capsys.readouterr().out == line * 2
    description = {"croissant.json": (corpus / "croissant.json").read_bytes()}
    assert contents(tmp_path / "back") == to_read(corpus) | description


@pytest.mark.slow
def test_a_description_that_the_source_has_no_more_goes(corpus: Path, tmp_path: Path) -> None:
    source, staged = tmp_path / "source", tmp_path / "staged"
    shutil.copytree(corpus, source)
    for remains in (True, False):
        if not remains:
            (source / "croissant.json").unlink()
        assert main([str(source), str(staged)]) == 0
        assert (staged / "croissant.json").exists() == remains


@pytest.mark.slow
def test_a_staged_corpus_verifies(staged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert surgstream(["verify", str(staged)]) == 0
    (staged / "plan.json").write_bytes(b"")
    assert surgstream(["verify", str(staged)]) == 1
    assert "d/d-000000.json: is missing" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("options", "copied"), [([], [1, 2]), (["--checksum"], [0, 1, 2])])
def test_what_is_there_is_not_copied_again(
    corpus: Path,
    staged: Path,
    options: list[str],
    copied: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Damage, a wrong size and a missing file: the first one shows in the checksum alone."""
    shards = [staged / "d" / f"d-{number:06d}.tar" for number in range(6)]
    data = bytearray(shards[0].read_bytes())
    data[5000] ^= 1
    shards[0].write_bytes(data)
    os.truncate(shards[1], 1000)
    shards[2].unlink()
    before = [path.stat().st_ino for path in (*shards[3:], staged / "manifest.json")]
    capsys.readouterr()
    assert main([str(corpus), str(staged), *options]) == 0
    megabytes = sum((corpus / "d" / shards[number].name).stat().st_size for number in copied) / 1e6
    assert f": {megabytes:.1f} MB copied" in capsys.readouterr().out
    assert (to_read(staged) == to_read(corpus)) == (0 in copied)
    assert [path.stat().st_ino for path in (*shards[3:], staged / "manifest.json")] == before


def test_without_the_manifest_what_is_there_is_compared(corpus: Path, staged: Path) -> None:
    (staged / "manifest.json").unlink()
    (staged / SHARD).write_bytes(bytes((staged / SHARD).stat().st_size))
    (staged / PARTIAL).write_bytes(b"left by a killed one")
    assert main([str(corpus), str(staged)]) == 0
    assert to_read(staged) == to_read(corpus) and not (staged / PARTIAL).exists()


@pytest.mark.slow
def test_a_killed_stage_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "staged"
    with s3_bucket("killed") as source:
        assert main([str(corpus), source]) == 0
        with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            proxy.plan = lambda request: (
                Fault("stall") if request.path.endswith("d-000003.tar") and request.range else None
            )
            process = start("stage", source, target, "--files=1")
            wait_until(lambda: bool(list(target.glob("d/.d-000003.tar.*.partial"))))
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            there = {path: path.stat().st_ino for path in target.glob("d/d-*")}
            assert len(there) == 6 and not (target / "manifest.json").exists()

            proxy.plan = lambda request: None
            assert main([source, str(target)]) == 0
    assert to_read(target) == to_read(corpus) and not list(target.rglob("*.partial"))
    assert {path: path.stat().st_ino for path in there} == there


def test_ranks_of_a_node_wait_for_the_one_that_copies(corpus: Path, tmp_path: Path) -> None:
    target = open_storage(str(tmp_path))
    with owning(target, "staging"):
        ranks = [start("stage", corpus, tmp_path) for _ in range(2)]
        for rank in ranks:
            assert rank.stderr is not None
            assert rank.stderr.readline().startswith(
                f"{tmp_path}: waiting for the end of staging on "
            )
        assert list(target.sizes()) == [f"{OWNERS}/00000001"]
    said = sorted(rank.communicate(timeout=60)[0].split(": ")[1] for rank in ranks)
    assert said[0] == "0.0 MB copied, the rest was already there\n" and said[1] != said[0]
    assert to_read(tmp_path) == to_read(corpus)


def test_a_damaged_source_is_named(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(shutil.copytree(corpus, tmp_path / "source"))
    data = bytearray((source / SHARD).read_bytes())
    data[-1] ^= 1
    (source / SHARD).write_bytes(data)
    assert surgstream(["stage", str(source), str(tmp_path / "staged")]) == 1
    assert f"surgstream stage: {source}: {SHARD}: SHA-256: expected " in capsys.readouterr().err
    assert not {SHARD, "manifest.json"} & contents(tmp_path / "staged").keys()
    assert not list((tmp_path / "staged").rglob("*.partial"))
    os.truncate(source / SHARD, 1000)
    with pytest.raises(StorageError, match=f"{SHARD}: expected bytes .* it is cut short"):
        main([str(source), str(tmp_path / "staged")])


class OnceWrong(LocalStorage):
    """A store on the way from which a bit flips in the first read of every file."""

    seen: set[str]

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        super().read_into(name, start, out, stop)
        if name not in self.seen:
            out[0] ^= 1
        self.seen.add(name)


def test_a_bit_that_flips_on_the_way_is_read_again(corpus: Path, tmp_path: Path) -> None:
    source = OnceWrong(corpus, str(corpus))
    source.seen = set()
    stage(source, open_storage(str(tmp_path)), num_at_once=2, checksum=False)
    assert to_read(tmp_path) == to_read(corpus)


def test_the_first_failure_ends_the_others(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surgstream.shards.commands.stage.PIECE_BYTES", 1000)
    both_read, went_on = threading.Barrier(2), []

    class Failing(LocalStorage):
        def read_into(
            self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
        ) -> None:
            assert stop is not None
            if start == 0 and name.startswith("d/d-000000."):
                both_read.wait(60)
            if name == SHARD:
                raise StorageError("the store is down")
            if start > 0 or not stop.wait(20):
                went_on.append(name)

    with pytest.raises(StorageError, match="the store is down"):
        stage(
            Failing(corpus, str(corpus)), open_storage(str(tmp_path)), num_at_once=2, checksum=False
        )
    assert went_on == [] and contents(tmp_path) == {}


def test_a_place_that_holds_something_else_is_refused(
    corpus: Path, staged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert surgstream(["stage", str(staged), str(corpus)]) == 2
    assert f"{corpus}: a corpus was packed there, which has a plan.json" in capsys.readouterr().err
    other = tmp_path / "other" / "e" / "e-000000.tar"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"")
    assert surgstream(["stage", str(corpus), str(tmp_path / "other")]) == 2
    assert (
        "holds shards, such as e/e-000000.tar, that the corpus does not have;"
        in capsys.readouterr().err
    )
    assert surgstream(["stage", str(tmp_path / "nowhere"), str(tmp_path / "there")]) == 1
    assert "manifest.json is missing; expected a packed corpus" in capsys.readouterr().err
    assert not (tmp_path / "there").exists()


def test_another_manifest_goes_before_what_it_lists(
    corpus: Path, staged: Path, tmp_path: Path
) -> None:
    (staged / "manifest.json").write_bytes(b"of an earlier packing")
    os.truncate(staged / SHARD, 1000)
    source = Path(shutil.copytree(corpus, tmp_path / "source"))
    os.truncate(source / SHARD, 1000)
    with pytest.raises(StorageError, match="cut short"):
        main([str(source), str(staged)])
    assert not (staged / "manifest.json").exists()


def test_room_is_looked_for_first(
    corpus: Path,
    staged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(LocalStorage, "free_bytes", lambda _: 1000)
    assert surgstream(["stage", str(corpus), str(tmp_path / "new")]) == 1
    assert f"{tmp_path / 'new'}: expected 0.00" in (error := capsys.readouterr().err)
    assert "GB of free space, got 1e-06; free some, or stage into another place" in error
    assert contents(tmp_path / "new") == {}
    assert main([str(corpus), str(staged)]) == 0, "nothing more is needed"


def test_a_disk_that_fills_up_is_a_sentence(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    assert surgstream(["stage", str(corpus), str(tmp_path)]) == 1
    assert "No space left on device; free some and run again" in capsys.readouterr().err
    assert contents(tmp_path) == {}


def test_a_number_of_files_is_at_least_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["here", "there", "--files=0"])
    assert "--files: expected a whole number from 1 to 1024, got '0'" in capsys.readouterr().err
