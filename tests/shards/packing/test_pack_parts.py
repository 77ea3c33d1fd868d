"""Packing on many machines: a plan, parts side by side, and what the last step makes of them."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.packing import pipeline as packing
from surgstream.shards.packing.shares import PackingShare
from surgstream.shards.storage.owner import owning
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack as main
from tests.helpers.packing import contents, load, start, wait_until, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video


@given(st.lists(st.integers(1, 100)), st.integers(1, 9))
@settings(derandomize=True, deadline=None)
def test_shares_are_of_everything_once_and_balanced(sizes: list[int], count: int) -> None:
    shares = [PackingShare(number, count).of(sizes) for number in range(count)]
    assert sorted(piece for share in shares for piece in share) == list(range(len(sizes)))
    work = [sum(sizes[piece] for piece in share) for share in shares]
    assert max(work) - min(work) <= max(sizes, default=0)


def test_one_long_piece_weighs_as_much_as_many_short_ones() -> None:
    assert [PackingShare(number, 2).of([1, 1, 1, 3]) for number in range(2)] == [[3], [0, 1, 2]]


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "1/4 ", "1/0", "0/1234567", "a/4"])
def test_a_part_is_one_of_so_many(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["corpus.yaml", "out", f"--part={text}"])
    assert ended.value.code == 2
    assert (
        f"expected K/N with K from 0 to N - 1, such as 0/4, got {text!r}" in capsys.readouterr().err
    )


@pytest.mark.slow
def test_four_parts_side_by_side_pack_what_one_process_does(
    six_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = str(six_shards / "corpus.yaml"), tmp_path / "out"
    assert main([corpus, "--plan-only", str(out), "workers=1"]) == 0
    assert capsys.readouterr().out == "6 of 6 shards are still to be packed\n"
    assert list(contents(out)) == ["plan.json"]
    parts = [start("pack", corpus, out, f"--part={number}/4", "workers=1") for number in range(4)]
    said = [part.communicate(timeout=100) for part in parts]
    assert [part.returncode for part in parts] == [0] * 4, said
    assert sorted(text.split(";")[0] for text, _ in said) == [
        f"packed {count} of the {count} shards of this part" for count in (1, 1, 2, 2)
    ]
    assert len(list(out.glob("d/*.json"))) == 6 and not (out / "manifest.json").exists()
    assert main([corpus, str(out)]) == 0
    assert contents(out) == contents(six_shards / "out")


@pytest.mark.slow
def test_a_part_that_was_killed_goes_on_and_another_that_never_came_is_packed_last(
    six_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = str(six_shards / "corpus.yaml"), tmp_path / "out"
    assert main([corpus, str(out), "--plan-only"]) == 0
    killed = start("pack", corpus, out, "--part=1/2", "workers=1")
    wait_until(lambda: bool(list(out.glob("d/*.json"))))
    killed.send_signal(signal.SIGKILL)
    _, errors = killed.communicate(timeout=60)
    assert "Traceback" not in errors
    packed = len(list(out.glob("d/*.json")))
    left = out / "d" / f".d-000000.tar.{'0' * 32}.partial"
    left.write_bytes(b"what another part is writing")
    capsys.readouterr()
    assert main([corpus, str(out), "--part=1/2"]) == 0
    assert capsys.readouterr().out.startswith(f"packed {3 - packed} of the 3 shards of this part")
    assert left.exists() and len(list(out.glob("d/*.json"))) == 3
    assert main([corpus, str(out), "--plan-only"]) == 0
    assert capsys.readouterr().out == "3 of 6 shards are still to be packed\n"
    assert not list(out.rglob("*.partial"))
    assert main([corpus, str(out)]) == 0
    assert contents(out) == contents(six_shards / "out")


def test_parts_keep_to_a_plan_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        make_video(tmp_path / "in" / f"{name}.mp4", 10)
    dataset = {"name": "d", "videos": "in/*.mp4"}
    corpus, out = write_corpus(tmp_path, dataset), str(tmp_path / "out")

    def refused(*options: str) -> str:
        assert surgstream(["pack", corpus, out, "--part=0/1", *options]) == 2
        assert not list((tmp_path / "out").glob("d/*"))
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert refused() == (
        f"surgstream pack: {out}: expected a plan.json to pack a part of; run with --plan-only first"
    )
    assert main([corpus, out, "--plan-only"]) == 0
    with monkeypatch.context() as patch:
        patch.delattr(packing, "make_plan")  # which opens all videos when options differ
        assert refused("fps=2", "short_side=64") == (
            f"surgstream pack: {out}: plan.json does not fit the corpus file and the options any more: fps was 1.0 and "
            "is 2.0, short_side was 256 and is 64; run with --plan-only again once no other part is at work"
        )
    make_video(tmp_path / "in" / "a.mp4", 11)
    assert "1 of its videos changed, such as a;" in refused()
    assert main([corpus, out, "--plan-only"]) == 0
    make_video(tmp_path / "in" / "c.mp4", 11)
    assert "there are new videos, or a dataset is described in another way;" in refused()
    write_corpus(tmp_path, {**dataset, "hold_out": ["b", "c"]})
    assert "1 of its videos no longer packed, such as b;" in refused()
    write_corpus(tmp_path, {**dataset, "hold_out": ["c"], "procedure": "another"})
    assert "there are new videos, or a dataset is described in another way;" in refused()


def test_a_part_may_see_the_sources_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "here" / "a.mp4", 10)
    write_corpus(tmp_path / "here", {"name": "d", "videos": "*.mp4"})
    monkeypatch.chdir(tmp_path / "here")
    assert main(["corpus.yaml", "../out", "--plan-only"]) == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "there")
    assert (
        main(["there/corpus.yaml", "out", "--part=0/1"]) == main(["there/corpus.yaml", "out"]) == 0
    )
    assert [video.id for shard in load(tmp_path / "out").shards for video in shard.videos] == ["a"]


def test_parts_keep_the_other_steps_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_video(tmp_path / "a.mp4", 10)
    corpus, out = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}), str(tmp_path / "out")
    assert main([corpus, out, "--plan-only"]) == 0
    part, plan, last = (
        ["pack", corpus, out, *words] for words in (["--part=0/1"], ["--plan-only"], [])
    )
    with owning(open_storage(out), "packing"):
        assert surgstream(part) == 1
    with owning(open_storage(out), "packing", shared=True):
        assert [surgstream(step) for step in (plan, last, part)] == [1, 1, 0]
    assert (
        capsys.readouterr().err.count(f"{out}: expected nobody else to write there, got packing on")
        == 3
    )
    assert surgstream(last) == 0


def test_the_last_step_tells_what_parts_put_in_quarantine(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", 10)
    broken = make_video(tmp_path / "b.mp4", 100, movie_options={"movflags": "faststart"})
    os.truncate(broken, broken.stat().st_size // 2)
    corpus, out = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}), str(tmp_path / "out")
    assert [
        main([corpus, out, *step]) for step in (["--plan-only"], ["--part=0/1"], ["--strict"])
    ] == [0, 0, 3]


@pytest.mark.slow
def test_a_part_leaves_alone_what_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shard that another version packed has no receipt that fits."""
    make_video(tmp_path / "a.mp4", 10)
    corpus, out = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    (out / "d" / "d-000000.json").unlink()
    before = contents(out)
    assert surgstream(["pack", corpus, str(out), "--part=0/1"]) == 2
    assert (
        "got 1 of a published corpus, such as d/d-000000.tar, to pack again"
        in capsys.readouterr().err
    )
    assert contents(out) == before
    assert [main([corpus, str(out), *step]) for step in (["--plan-only"], ["--part=0/1"], [])] == [
        0,
        0,
        0,
    ]
    assert surgstream(["verify", str(out)]) == 0


@pytest.mark.slow
def test_parts_on_s3(tmp_path: Path) -> None:
    for name in "ab":
        make_video(tmp_path / f"{name}.mp4", 10)
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}, shard_bytes=1, workers=1)
    assert main([corpus, str(tmp_path / "out")]) == 0
    with s3_bucket("parts") as bucket:
        for step in ("--plan-only", "--part=0/2", "--part=1/2"):
            assert main([corpus, f"{bucket}/out", step]) == 0
        assert "manifest.json" not in open_storage(f"{bucket}/out").sizes()
        assert main([corpus, f"{bucket}/out"]) == 0
        assert Manifest.load(open_storage(f"{bucket}/out")) == load(tmp_path / "out")
