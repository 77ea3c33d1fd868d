"""`surgstream leaks` as it is run, on films packed at several rates and sizes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.errors import CorruptSampleError, LeakError, VideoError
from tests.helpers.commands import leaks as main
from tests.helpers.films import drifting, write_film
from tests.helpers.packing import write_corpus
from tests.helpers.s3 import s3_bucket

pytestmark = pytest.mark.slow


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
        corpus = write_corpus(
            folder, *({"name": name, "videos": f"{name}/*"} for name in names), **options
        )
        assert surgstream(["pack", corpus, str(folder / out)]) == 0
    return folder


def test_copies_are_listed_by_kind_with_their_seconds(
    corpora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = str(corpora / "train"), str(corpora / "test")
    assert main([train, "--against", test, str(corpora / "clean"), "--json"]) == 0
    leak, copy, part = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["kind"] for finding in (leak, copy, part)] == ["held_out", "across", "within"]
    places = [
        (s["corpus"], s["dataset"], s["video"])
        for f in (leak, copy)
        for s in (f["first"], f["second"])
    ]
    assert places == [
        (train, "one", "b"),
        (test, "three", "host"),
        (train, "one", "a"),
        (train, "two", "again"),
    ]
    assert {part[side]["video"] for side in ("first", "second")} == {"c", "part"}
    assert leak["first"]["start"] == pytest.approx(15, abs=4) and leak["first"][
        "stop"
    ] == pytest.approx(45, abs=4)
    assert leak["first"]["start"] - leak["second"]["start"] == pytest.approx(
        -5, abs=0.8
    )  # its pictures stay a second
    assert copy["first"]["start"] - copy["second"]["start"] == 8
    assert copy["second"]["stop"] == pytest.approx(52, abs=3)
    assert 0.7 < leak["score"] <= 1 and 0.7 < copy["score"] <= 1


def test_a_leak_fails_where_that_was_asked(
    corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(corpora / "test", tmp_path / "same")
    with pytest.raises(
        LeakError, match=r"train: expected nothing of .* in 1 of its videos: one/b; hold them out"
    ):
        main(
            [
                str(corpora / "train"),
                "--against",
                str(corpora / "test"),
                str(tmp_path / "same"),
                "--fail-on-leak",
            ]
        )
    lines = capsys.readouterr().out.splitlines()
    assert all("held_out  one/b 1" in line for line in lines[:2])
    assert "stretches that two videos show: 2 held_out, 1 across, 1 within" in lines


def test_copies_among_what_is_trained_on_are_no_leak_also_from_s3(
    corpora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with s3_bucket("leaks") as bucket:
        assert surgstream(["stage", str(corpora / "clean"), f"{bucket}/clean"]) == 0
        words = [
            str(corpora / "train"),
            "--against",
            f"{bucket}/clean",
            "--fail-on-leak",
            "--workers",
            "1",
        ]
        assert surgstream(["leaks", *words]) == 0
    assert "0 held_out, 1 across, 1 within" in capsys.readouterr().out


def test_a_damaged_frame_is_named(corpora: Path, tmp_path: Path) -> None:
    shutil.copytree(corpora / "clean", tmp_path / "clean")
    tar = tmp_path / "clean" / "four" / "four-000000.tar"
    data = bytearray(tar.read_bytes())
    data[len(data) // 2] ^= 1
    tar.write_bytes(data)
    with pytest.raises(
        CorruptSampleError, match=r"four-000000\.tar: frame \d+ of e is not as it was packed"
    ):
        main([str(tmp_path / "clean")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fail-on-leak"], "--fail-on-leak: expected --against or --task as well"),
        (["--against", "train"], "--against: expected other corpora than TRAIN"),
        (["--workers", "0"], "--workers: expected a whole number from 1 to 4096, got '0'"),
    ],
)
def test_words_that_do_not_fit(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", *words])
    assert ended.value.code == 2 and message in capsys.readouterr().err


def pack_films(folder: Path, name: str, videos: str, **options: object) -> str:
    """Pack videos as one dataset, and return the corpus."""
    (folder / name).mkdir(parents=True)
    corpus = write_corpus(folder / name, {"name": name, "videos": str(folder / videos)}, **options)
    assert surgstream(["pack", corpus, str(folder / name / "shards")]) == 0
    return str(folder / name / "shards")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Short clips: `train`, `same` the same files, `coded` again, `other` ones, `dark` ones and a `still`."""
    folder = tmp_path_factory.mktemp("clips")
    for number, seconds in enumerate((3, 6, 10, 14, 17)):
        film = drifting(number, seconds, fps=5, size=(192, 144))
        write_film(folder / "films" / f"clip{number}.mp4", film, fps=5)
        write_film(
            folder / "again" / f"again{number}.mp4",
            film[:, ::-1, ::-1][:, ::2, ::2],
            fps=5,
            codec="mpeg4",
        )
        write_film(
            folder / "others" / f"other{number}.mp4", drifting(50 + number, seconds, fps=5), fps=5
        )
    write_film(folder / "nights" / "night.mp4", drifting(90, 40) // 25)
    write_film(folder / "stills" / "still.mp4", np.repeat(drifting(91, 1), 40, axis=0))
    names = {
        "train": "films",
        "same": "films",
        "coded": "again",
        "other": "others",
        "dark": "nights",
        "still": "stills",
    }
    return {
        name: pack_films(folder, name, f"{videos}/*.mp4", short_side=72)
        for name, videos in names.items()
    }


def compared(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_clips_of_some_seconds_are_found_by_their_frames(
    clips: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    findings = compared(capsys, clips["train"], "--against", clips["same"])["findings"]
    assert [(f["first"]["video"], f["second"]["video"]) for f in findings] == [
        (f"clip{n}",) * 2 for n in range(5)
    ]
    assert {(f["kind"], f["way"], f["score"]) for f in findings} == {("held_out", "frames", 1.0)}
    assert [f["first"]["stop"] for f in findings] == [3, 6, 10, 14, 17]


def test_clips_that_are_coded_again_and_turned_are_found_by_their_pictures(
    clips: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(capsys, clips["train"], "--against", clips["coded"])
    pairs = [(f["first"]["video"], f["second"]["video"]) for f in found["findings"]]
    assert pairs == [(f"clip{n}", f"again{n}") for n in range(5)]
    assert {(f["way"], f["pose"]) for f in found["findings"]} <= {
        ("pictures", "turned"),
        ("motion", "turned"),
    }
    assert len(found["by_pictures"]) == 10 and {video["why"] for video in found["by_pictures"]} == {
        "too short"
    }


def test_unlike_clips_pass_and_are_said_to_be_short(
    clips: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([clips["train"], "--against", clips["other"], "--fail-on-leak"]) == 0
    out = capsys.readouterr().out
    assert "0 held_out, 0 across, 0 within" in out
    assert (
        "5 videos compared by single pictures alone, since too short or still: other/other0 (3 s, too short)"
        in out
    )


def test_what_cannot_be_compared_is_named_and_fails_where_that_was_asked(
    clips: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = [clips["dark"], clips["still"], clips["other"]]
    with pytest.raises(
        LeakError, match=r"got 1 that are dark or of one colour: dark/night; look at them, and pack"
    ):
        main([clips["train"], "--against", *held_out, "--fail-on-leak"])
    out = capsys.readouterr().out
    assert (
        "1 videos NOT compared, but for equal frames: dark/night (40 s, dark or of one colour)"
        in out
    )
    assert "still/still (40 s, still)" in out
    found = compared(capsys, clips["train"], "--against", *held_out)
    assert [video["video"] for video in found["not_compared"]] == ["night"]
    assert [(side["videos"], side["seconds"]) for side in found["corpora"]] == [
        (5, 50),
        (1, 40),
        (1, 40),
        (5, 50),
    ]
    assert found["corpora"][1]["silent_seconds"] == 40


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fast films, and copies of them, mirrored, that start half a second later."""
    folder = tmp_path_factory.mktemp("shifted")
    for number in range(2):
        film = np.stack(list(drifting(60 + number, 200, fps=4)[::3]))[:260]
        write_film(folder / "films" / f"film{number}.mp4", film, fps=4)
        write_film(folder / "copies" / f"copy{number}.mp4", film[22:, :, ::-1], fps=4)
    return folder


def test_a_copy_that_starts_between_seconds_is_found_where_frames_allow_it_or_in_its_source(
    shifted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = [
        pack_films(shifted, f"slow_{name}", f"{name}/*", short_side=48)
        for name in ("films", "copies")
    ]
    fast = [
        pack_films(shifted, f"fast_{name}", f"{name}/*", short_side=48, fps=4)
        for name in ("films", "copies")
    ]
    assert main([slow[0], "--against", slow[1]]) == 0
    out = capsys.readouterr().out
    assert "0 held_out" in out
    assert (
        "held_out, across, within: videos of both sides have fewer than four frames a second, so copies that"
        in out
    )

    for words in (
        (slow[0], "--against", slow[1], "--from-sources"),
        (slow[0], "--against", fast[1]),
        fast[:1],
    ):
        against = ("--against", fast[1]) if words == fast[:1] else ()
        found = compared(capsys, *words, *against)
        pairs = [(f["first"]["video"], f["second"]["video"], f["pose"]) for f in found["findings"]]
        assert pairs == [("film0", "copy0", "mirrored"), ("film1", "copy1", "mirrored")]
        for finding in found["findings"]:
            assert finding["first"]["start"] - finding["second"]["start"] == pytest.approx(
                5.5, abs=0.26
            )
        assert "held_out" not in found["missed_between_seconds"]


def test_sources_that_are_gone_are_named(shifted: Path, tmp_path: Path) -> None:
    shutil.copytree(shifted / "films", tmp_path / "films")
    corpus = pack_films(tmp_path, "gone", "films/*", short_side=48)
    shutil.rmtree(tmp_path / "films")
    with pytest.raises(VideoError, match=r"films/film\d\.mp4: "):
        main([corpus, "--from-sources", "--workers", "1"])
    (Path(corpus) / "plan.json").unlink()
    with pytest.raises(
        ConfigError, match=r"--from-sources: .*: expected the plan\.json that it was packed by"
    ):
        main([corpus, "--from-sources"])


def test_sources_under_pseudonyms_cannot_be_looked_up(shifted: Path, tmp_path: Path) -> None:
    corpus, out = (
        write_corpus(tmp_path, {"name": "d", "videos": f"{shifted}/films/*"}, short_side=48),
        tmp_path / "out",
    )
    assert surgstream(["pack", corpus, str(out), "--pseudonyms", str(tmp_path / "names.csv")]) == 0
    with pytest.raises(
        ConfigError, match=r"expected a plan that tells where its videos lie, got one of pseudonyms"
    ):
        main([str(out), "--from-sources"])
