"""What `surgstream pack` makes of sources that are damaged, and says of them."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.video.container.feed import LOCAL_AHEAD_BYTES
from tests.helpers.commands import pack as main
from tests.helpers.packing import ROOT, contents, load, write_corpus
from tests.helpers.videos import cut, make_video, spoil

pytestmark = pytest.mark.slow


def test_bad_sources_are_quarantined_and_the_rest_is_packed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "a.mp4", 100)
    (tmp_path / "b.mp4").write_bytes(b"not a video" * 99)
    spoil(make_video(tmp_path / "c.mp4", 100))
    path = make_video(tmp_path / "d.mp4", 100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    make_video(tmp_path / "e.mp4", 100)
    corpus = write_corpus(tmp_path, {"name": "d", "videos": ["*.mp4", "f.mp4"]})
    for _ in range(2):
        assert main([corpus, str(tmp_path / "out")]) == 0
        assert [video.id for video in load(tmp_path / "out").shards[0].videos] == ["a", "e"]
        lines = [
            json.loads(line)
            for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
        ]
        assert {line["source"][-5:]: line["reason"].split(":")[0] for line in lines} == {
            "b.mp4": "cannot be opened as a video",
            "c.mp4": "not one frame of it can be decoded",
            "d.mp4": "cannot be opened as a video",
            "f.mp4": "is missing",
        }
        told = [
            line
            for line in capsys.readouterr().out.splitlines()
            if line.startswith("in quarantine")
        ]
        assert told == [f"in quarantine: 4, with reasons: {tmp_path}/out/quarantine.jsonl"]
    assert main([corpus, str(tmp_path / "out"), "--strict"]) == 3
    for name in "bcdf":
        make_video(tmp_path / f"{name}.mp4", 100)
    assert main([corpus, str(tmp_path / "out"), "--strict"]) == 0
    assert sorted(v.id for shard in load(tmp_path / "out").shards for v in shard.videos) == list(
        "abcdef"
    )
    assert not (tmp_path / "out" / "quarantine.jsonl").exists()


def test_what_a_damaged_video_lost_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "a.mp4", 100)
    cut(
        make_video(
            tmp_path / "b.mp4",
            1000,
            time_base=Fraction(1, 5),
            movie_options={"movflags": "faststart"},
        ),
        0.7,
    )
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"})
    assert main([corpus, str(tmp_path / "out")]) == 0
    whole, damaged = [
        json.loads(line) for line in (tmp_path / "out" / "readings.jsonl").read_text().splitlines()
    ]
    assert whole["lost"] == [] and (whole["container"], whole["codec"]) == (
        "mov,mp4,m4a,3gp,3g2,mj2",
        "h264",
    )
    (span,) = damaged["lost"]
    frames = load(tmp_path / "out").shards[0].videos[1].num_frames
    assert (damaged["video"], span["stop"], damaged["seconds"]) == ("b", 200.0, 200.0)
    assert frames - 1 < span["start"] <= frames
    *table, told = capsys.readouterr().out.splitlines()
    assert table[1].split()[-2] == f"{200 - span['start']:.1f}"
    assert told == f"damaged videos: 1; what they have lost: {tmp_path}/out/readings.jsonl"


def test_a_corpus_of_nothing_packable_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(make_video(tmp_path / "a.mp4", 100))
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "a.mp4"})
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 1
    assert (
        "not one video could be packed: 1 are in quarantine (quarantine.jsonl there says why), 0 are shorter"
        in capsys.readouterr().err
    )
    assert not [
        name
        for name in contents(tmp_path / "out")
        if name.endswith((".tar", ".idx", "manifest.json"))
    ]


FAULT = """
import errno, pathlib
from surgstream.shards.errors import StorageError
from surgstream.shards.storage.stores import LocalStorage

sound = LocalStorage.read_into

def read_into(self, name, start, out, stop=None):
    if name.endswith(".mkv") and start > 0 and pathlib.Path({flag!r}).exists():
        raise StorageError("reading v.mkv: Stale file handle") from OSError(errno.ESTALE, "Stale file handle")
    sound(self, name, start, out, stop)

LocalStorage.read_into = read_into
"""


def test_a_file_system_that_fails_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "v.mkv", 250, size=(320, 240), grain=40)
    assert (tmp_path / "v.mkv").stat().st_size > 3 * LOCAL_AHEAD_BYTES
    flag, faults = tmp_path / "fails", tmp_path / "faults"
    faults.mkdir()
    (faults / "sitecustomize.py").write_text(
        FAULT.format(flag=str(flag))
    )  # what workers import when they start
    monkeypatch.setenv("PYTHONPATH", f"{faults}:{ROOT}/src")
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mkv"}, fps=5)

    flag.touch()
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 1
    assert "Stale file handle" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()

    flag.unlink()
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 0
    (reading,) = (tmp_path / "out" / "readings.jsonl").read_text().splitlines()
    assert json.loads(reading)["lost"] == []
    assert load(tmp_path / "out").shards[0].num_frames == 50
