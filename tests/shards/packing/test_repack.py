"""Packing again: what is new, what has changed, what an interruption left undone."""

import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.errors import OwnedError, StorageError
from surgstream.shards.packing import pipeline as packing
from surgstream.shards.storage.owner import OWNERS, owning
from surgstream.shards.storage.owner_record import this_process
from surgstream.shards.storage.stores import Storage, open_storage
from tests.helpers.commands import pack as main
from tests.helpers.packing import contents, load, start, wait_until, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video


@pytest.mark.slow
def test_only_what_is_new_or_missing_is_packed(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", 50)
    make_video(tmp_path / "b.mp4", 50)
    corpus, out = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    first = contents(out)
    make_video(tmp_path / "aa.mp4", 25)
    (out / "d" / "d-000000.idx").unlink()
    assert main([corpus, str(out)]) == 0
    second = contents(out)
    assert {name: second[name] for name in first if name.startswith("d/")} == {
        name: data for name, data in first.items() if name.startswith("d/")
    }
    assert [video.id for shard in load(out).shards for video in shard.videos] == ["a", "b", "aa"]
    write_corpus(tmp_path, {"name": "d", "videos": "*.mp4", "hold_out": ["a", "aa"]})
    assert main([corpus, str(out)]) == 0
    assert [video.id for shard in load(out).shards for video in shard.videos] == ["b"]
    assert sorted(path.name for path in (out / "d").iterdir()) == [
        "d-000000.idx",
        "d-000000.json",
        "d-000000.tar",
    ]


@pytest.mark.slow
def test_what_is_packed_again_is_said_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        make_video(tmp_path / f"{name}.mp4", 10)
    corpus, out = (
        write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}, shard_bytes=1),
        tmp_path / "out",
    )
    for word, message in (
        ("fps=1", ""),
        ("fps=1", ""),
        ("fps=2", f"{out}: d: packs 3 shards again and removes 0: fps was 1.0 and is 2.0"),
        (
            "shard_bytes=1000000",
            "packs 1 shards again and removes 2: fps was 2.0 and is 1.0, shard_bytes was 1 and is",
        ),
    ):
        caplog.clear()
        assert main([corpus, str(out), word]) == 0
        assert message in caplog.text if message else caplog.text == ""
    (tmp_path / "b.mp4").unlink()
    assert main([corpus, str(out), "shard_bytes=1000000"]) == 0
    assert (
        "packs 1 shards again and removes 0: 1 of its videos no longer packed, such as b"
        in caplog.text
    )


def test_a_manifest_goes_before_the_first_shard_that_it_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "a.mp4", 10)
    corpus, out = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}), tmp_path / "out"
    assert main([corpus, str(out)]) == 0

    def fail(*_: object, **__: object) -> None:
        raise StorageError("the store is down")

    monkeypatch.setattr(packing, "run_all", fail)
    with pytest.raises(StorageError, match="the store is down"):
        main([corpus, str(out), "fps=2"])
    assert (out / "d" / "d-000000.tar").exists() and not (out / "manifest.json").exists()


def test_another_packing_in_the_same_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "a.mp4", 10)
    corpus, out = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}), str(tmp_path / "out")
    with owning(open_storage(out), "packing"):
        assert surgstream(["pack", corpus, out]) == 1
    assert f"{out}: expected nobody else to write there, got packing on" in capsys.readouterr().err
    assert contents(tmp_path / "out") == {}


def test_a_packing_that_was_taken_over_meanwhile_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "a.mp4", 10)
    corpus, out = (
        write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}, workers=1),
        open_storage(str(tmp_path / "out")),
    )
    run_all = packing.run_all

    def taken_over(*arguments: Any, **settings: Any) -> Any:
        later = replace(this_process("packing"), host="node17")
        out.write(f"{OWNERS}/00000009", later.to_bytes())
        return run_all(*arguments, **settings)

    monkeypatch.setattr(packing, "run_all", taken_over)
    with pytest.raises(
        OwnedError, match=r"got packing on node17 .* which has taken over; this process ends"
    ):
        main([corpus, out.uri])
    assert "manifest.json" not in out.sizes()


@pytest.mark.slow
def test_shards_in_a_linked_folder_are_seen(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", 10)
    make_video(tmp_path / "b.mp4", 10)
    corpus, out = (
        write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}, shard_bytes=1),
        tmp_path / "out",
    )
    (tmp_path / "disk").mkdir()
    out.mkdir()
    (out / "d").symlink_to(tmp_path / "disk")
    assert main([corpus, str(out)]) == 0
    (tmp_path / "b.mp4").unlink()
    assert main([corpus, str(out)]) == 0
    assert sorted(path.suffix for path in (tmp_path / "disk").iterdir()) == [
        ".idx",
        ".json",
        ".tar",
    ]


def test_only_what_is_ours_is_swept(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", 10)
    corpus, out = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}), tmp_path / "out"
    ours = [
        "d/d-000009.tar",
        "d/d-000000.idx",
        "d/d-000000.json",
        "plan.json",
        "manifest.json",
        "quarantine.jsonl",
        "d/d-000000.mask.tar",
        "layer.mask.json",
    ]
    others = [
        "e/e-000000.tar",
        "d/d-0.tar",
        "d/e-000000.tar",
        "notes.txt",
        "d/d-000000.mp4",
        "deep/plan.json",
        "e/e-000000.mask.tar",
    ]
    for name in (*ours, *others):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.{'0' * 32}.partial").write_bytes(b"")
    assert main([corpus, str(out)]) == 0
    left = {
        str(path.relative_to(out)).replace("/.", "/").removeprefix(".")
        for path in out.rglob("*.partial")
    }
    assert left == {f"{name}.{'0' * 32}.partial" for name in others}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_packing_is_finished_by_the_next(
    six_shards: Path, tmp_path: Path, how: signal.Signals
) -> None:
    corpus, out = str(six_shards / "corpus.yaml"), tmp_path / "out"
    process = start("pack", corpus, out)

    def receipts() -> list[Path]:
        return list(out.glob("d/*.json"))

    wait_until(lambda: bool(receipts()))
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors and not (out / "manifest.json").exists()
    done = len(receipts())
    time.sleep(0.3)
    assert done < 6 and len(receipts()) <= done + 2, "the workers went on without their parent"
    if how == signal.SIGINT:
        assert process.returncode == 130 and not list(out.rglob("*.partial"))
    assert main([corpus, str(out)]) == 0
    assert contents(out) == contents(six_shards / "out")


@pytest.mark.slow
def test_a_manifest_that_another_packing_published_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "a.mp4", 10)
    corpus, pack_missing = (
        write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}),
        packing._pack_missing,
    )

    def meanwhile(storage: Storage, *rest: Any) -> Any:
        """Another one publishes while this one packs."""
        storage.write("manifest.json", b"theirs")
        return pack_missing(storage, *rest)

    monkeypatch.setattr(packing, "_pack_missing", meanwhile)
    with s3_bucket("shared") as bucket:
        with pytest.raises(
            StorageError,
            match=r"manifest\.json: expected it as it was when this began, got another",
        ):
            main([corpus, f"{bucket}/out"])
        assert open_storage(f"{bucket}/out").read("manifest.json") == b"theirs"
