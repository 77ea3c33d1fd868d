"""`surgstream leaks` as it is run, on films packed at several rates and sizes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from launch.__main__ import main as surgstream
from shards.errors import CorruptSampleError, LeakError
from shards.leaks.guard import main
from tests.helpers.films import drifting, write_film
from tests.helpers.packing import write_corpus
from tests.helpers.s3 import s3_bucket


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train`: two datasets that share a video; one has part of another twice. `test`: half a minute of `one/b`."""
    folder = tmp_path_factory.mktemp("leaks")
    films = {name: drifting(seed, 60) for seed, name in enumerate("abcde")}
    write_film(folder / "one" / "a.mp4", films["a"])
    write_film(folder / "one" / "b.mp4", films["b"])
    write_film(folder / "two" / "again.avi", films["a"][8:, 3:-3, 4:-4], codec="mpeg4")
    write_film(folder / "two" / "c.mp4", films["c"])
    write_film(folder / "two" / "part.mp4", films["c"][12:50])
    inside = np.concatenate([films["d"][:20], films["b"][15:45], films["d"][20:30]])
    write_film(folder / "three" / "host.mp4", np.repeat(inside, 5, axis=0), fps=5)
    write_film(folder / "four" / "e.mp4", films["e"])
    for out, options, names in (
        ("train", {"short_side": 64}, ("one", "two")),
        ("test", {"short_side": 48, "fps": 5}, ("three",)),
        ("clean", {"fps": 1}, ("four",)),
    ):
        corpus = write_corpus(folder, *({"name": name, "videos": f"{name}/*"} for name in names), **options)
        assert surgstream(["pack", corpus, str(folder / out)]) == 0
    return folder


def test_copies_are_listed_by_kind_with_their_seconds(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = str(corpora / "train"), str(corpora / "test")
    assert main([train, "--against", test, str(corpora / "clean"), "--json"]) == 0
    leak, copy, part = json.loads(capsys.readouterr().out)
    assert [finding["kind"] for finding in (leak, copy, part)] == ["held_out", "across", "within"]
    places = [(s["corpus"], s["dataset"], s["video"]) for f in (leak, copy) for s in (f["first"], f["second"])]
    assert places == [(train, "one", "b"), (test, "three", "host"), (train, "one", "a"), (train, "two", "again")]
    assert {part[side]["video"] for side in ("first", "second")} == {"c", "part"}
    assert leak["first"]["start"] == pytest.approx(15, abs=4) and leak["first"]["stop"] == pytest.approx(45, abs=4)
    assert leak["first"]["start"] - leak["second"]["start"] == -5
    assert copy["first"]["start"] - copy["second"]["start"] == 8
    assert copy["second"]["stop"] == pytest.approx(52, abs=3)
    assert 0.7 < leak["score"] <= 1 and 0.7 < copy["score"] <= 1


def test_a_leak_fails_where_that_was_asked(corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(corpora / "test", tmp_path / "same")
    with pytest.raises(LeakError, match=r"train: expected nothing of .* in 1 of its videos: one/b; hold them out"):
        main([str(corpora / "train"), "--against", str(corpora / "test"), str(tmp_path / "same"), "--fail-on-leak"])
    lines = capsys.readouterr().out.splitlines()
    assert all("held_out  one/b 1" in line for line in lines[:2])
    assert lines[-1] == "stretches that two videos show: 2 held_out, 1 across, 1 within"


def test_copies_among_what_is_trained_on_are_no_leak_also_from_s3(
    corpora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with s3_bucket("leaks") as bucket:
        assert surgstream(["stage", str(corpora / "clean"), f"{bucket}/clean"]) == 0
        words = [str(corpora / "train"), "--against", f"{bucket}/clean", "--fail-on-leak", "--workers", "1"]
        assert surgstream(["leaks", *words]) == 0
    assert "0 held_out, 1 across, 1 within" in capsys.readouterr().out


def test_a_damaged_frame_is_named(corpora: Path, tmp_path: Path) -> None:
    shutil.copytree(corpora / "clean", tmp_path / "clean")
    tar = tmp_path / "clean" / "four" / "four-000000.tar"
    data = bytearray(tar.read_bytes())
    data[len(data) // 2] ^= 1
    tar.write_bytes(data)
    with pytest.raises(CorruptSampleError, match=r"four-000000\.tar: frame \d+ of e is not as it was packed"):
        main([str(tmp_path / "clean")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fail-on-leak"], "--fail-on-leak: expected --against as well"),
        (["--against", "train"], "--against: expected other corpora than TRAIN"),
        (["--workers", "0"], "--workers: expected at least 1, got 0"),
    ],
)
def test_words_that_do_not_fit(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", *words])
    assert ended.value.code == 2 and message in capsys.readouterr().err
