"""What is found in videos, what is dropped, and what a person decides about it, from the corpus file to the shards."""

import json
import re
import tarfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.format.manifest import Reviewed
from surgstream.shards.format.records import Finding, Part, VideoReport
from surgstream.shards.format.review import Decision, load_review
from surgstream.shards.storage.stores import Stores, open_storage
from tests.helpers.packing import ROOT, contents, load, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.scenes import in_disc, make_film, scene, scenes
from tests.helpers.videos import make_video

BARE = VideoReport(
    dataset="d",
    video="v",
    source="v",
    container="c",
    codec="c",
    width=1,
    height=1,
    fps=None,
    seconds=None,
    lost=(),
)
SCENES = (
    ("text", 4),
    ("tissue", 12),
    ("out_of_body", 3),
    ("face", 3),
    ("tissue", 10),
    ("black", 2),
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with all kinds of scenes, and one of nothing but an operation in a disc."""
    folder = tmp_path_factory.mktemp("reviewed")
    make_film(folder / "mixed.mp4", scenes(*SCENES))
    make_film(
        folder / "plain" / "disc.mp4",
        [in_disc(scene("tissue", n), (190, 85), 70) for n in range(100)],
    )
    return folder


def write(videos: Path, *lines: str, **pack: Any) -> str:
    """A corpus file, with a review if there are lines."""
    corpus = Path(
        write_corpus(
            videos, {"name": "d", "videos": "*.mp4"}, {"name": "e", "videos": "plain/*"}, **pack
        )
    )
    if lines:
        (videos / "review.csv").write_text(
            "\n".join(("dataset,video,start,stop,decision", *lines)) + "\n"
        )
        corpus.write_text(corpus.read_text() + "review: review.csv\n")
    return str(corpus)


def readings(out: Path) -> dict[str, Any]:
    return {
        r["video"]: r for r in map(json.loads, (out / "readings.jsonl").read_text().splitlines())
    }


def parts(out: Path) -> list[Part]:
    return list(load(out).shards[0].videos[0].parts)


def part(first: int, stop: int) -> Part:
    return Part(first_frame=first, num_frames=stop - first)


@pytest.mark.slow
def test_without_being_asked_packing_only_tells(videos: Path, tmp_path: Path) -> None:
    assert surgstream(["pack", write(videos), str(tmp_path / "out")]) == 0
    found = readings(tmp_path / "out")
    spans = {(f["kind"], f["start"], f["stop"]) for f in found["mixed"]["findings"]}
    assert spans == {("text", 0, 4), ("out_of_body", 16, 22), ("face", 19, 22), ("black", 32, 34)}
    assert all(0.5 <= f["score"] <= 1 for f in found["mixed"]["findings"])
    assert parts(tmp_path / "out") == [part(0, 34)] and found["mixed"]["dropped"] == []
    assert found["disc"]["findings"] == [] and found["disc"]["crop"] is None


@pytest.mark.slow
def test_no_picture_lies_beside_the_shards(videos: Path, tmp_path: Path) -> None:
    for name, drop in (("all", "drop=[]"), ("some", "drop=[text,face,out_of_body]")):
        words = [
            str(tmp_path / name),
            drop,
            "crop_borders=true",
            "--report",
            str(tmp_path / "report"),
        ]
        assert surgstream(["pack", write(videos), *words]) == 0
        beside = {
            path: data
            for path, data in contents(tmp_path / name).items()
            if not path.endswith((".tar", ".idx"))
        }
        assert {"plan.json", "readings.jsonl", "d/d-000000.json"} <= beside.keys()
        words = re.findall(rb"[A-Za-z0-9+/=]+", b"\n".join(beside.values()))
        assert max(map(len, words)) <= 64, (
            "checksums are the longest words, and no JPEG has so few in base64"
        )
        assert not any(b"\xff\xd8" in data for data in beside.values())


@pytest.mark.slow
def test_the_end_tells_of_each_kind_that_was_found(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_film(tmp_path / "slides.mp4", scenes(("text", 3), ("black", 4)))
    make_film(
        tmp_path / "seen.mp4", scenes(("tissue", 12), ("face", 3), ("tissue", 10), ("black", 2))
    )
    (tmp_path / "review.csv").write_text("dataset,video,start,stop,decision\nd,seen,13,15,keep\n")
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}, drop=["text", "face"])
    assert (
        surgstream(
            ["pack", corpus, str(tmp_path / "out"), "--review", str(tmp_path / "review.csv")]
        )
        == 0
    )
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("found ")]
    assert found == [
        "found black: 2 videos, 6.0 s, none dropped",
        "found face: 1 video, 5.0 s, 3.0 s dropped",
        "found out_of_body: 1 video, 3.0 s, 1.0 s dropped",
        "found text: 1 video, 3.0 s, all dropped",
    ]


@pytest.mark.slow
def test_what_is_to_be_dropped_ends_a_part(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert surgstream(["pack", write(videos), str(out), "drop=[text, black, face]", "fps=2"]) == 0
    assert parts(out) == [part(8, 37), part(44, 64)], (
        "no face was seen at second 18, and nobody looked until second 19"
    )
    assert readings(out)["mixed"]["dropped"] == [
        {"start": 0.0, "stop": 4.0},
        {"start": 18.5, "stop": 22.0},
        {"start": 32.0, "stop": 34.0},
    ]
    with tarfile.open(out / load(out).shards[0].name) as tar:
        said = [
            json.load(tar.extractfile(name)) for name in tar.getnames() if name.endswith(".json")
        ]  # type: ignore
    assert [[f["kind"] for f in segment["findings"]] for segment in said] == [["out_of_body"], []]
    assert load(out).packing["drop"] == "text, black, face"
    assert surgstream(["verify", str(out)]) == 0


@pytest.mark.slow
def test_frames_are_those_that_would_be_there_anyway(videos: Path, tmp_path: Path) -> None:
    frames = []
    for name, drop in (("all", "drop=[]"), ("some", "drop=[text,out_of_body]")):
        assert surgstream(["pack", write(videos), str(tmp_path / name), drop]) == 0
        with tarfile.open(tmp_path / name / load(tmp_path / name).shards[0].name) as tar:
            jpegs = [
                tar.extractfile(member).read()
                for member in tar.getnames()
                if member.endswith(".jpg")
            ]  # type: ignore
        numbers = [p.first_frame + k for p in parts(tmp_path / name) for k in range(p.num_frames)]
        frames.append(dict(zip(numbers, jpegs, strict=True)))
    assert set(frames[1]) == set(range(34)) - set(range(4)) - set(range(16, 22))
    assert frames[1].items() < frames[0].items()


@pytest.mark.slow
def test_what_is_dropped_is_as_expected_as_the_rest(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = write_corpus(
        videos,
        {"name": "d", "videos": "*.mp4", "expected": {"videos": 1, "frames": 34}},
        drop=["out_of_body", "text"],
    )
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 0 and not caplog.records
    corpus = write_corpus(
        videos,
        {"name": "d", "videos": "*.mp4", "expected": {"frames": 24}},
        drop=["out_of_body", "text"],
    )
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 0
    assert "datasets: d: expected 24 frames at 1 a second, got 34" in caplog.text


def test_there_is_no_report_on_a_part(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in ("--plan-only", "--part=0/2"):
        with pytest.raises(SystemExit, match="2"):
            surgstream(
                [
                    "pack",
                    write(videos),
                    str(tmp_path / "out"),
                    step,
                    "--report",
                    str(tmp_path / "report"),
                ]
            )
        assert "--report: expected neither --plan-only nor --part" in capsys.readouterr().err


def test_a_video_of_which_nothing_stays_is_told_and_is_as_expected_as_the_rest(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_film(tmp_path / "slides.mp4", scenes(("text", 3), ("black", 4)))
    make_film(tmp_path / "operation.mp4", scenes(("tissue", 3)))
    dataset = {"name": "d", "videos": "*.mp4", "expected": {"videos": 2, "frames": 10}}
    corpus = write_corpus(tmp_path, dataset, drop=["text", "black"])
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 0 and not caplog.records
    (line,) = (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "all of its 7 frames are dropped: black, text"
    assert readings(tmp_path / "out")["slides"]["dropped"] == [{"start": 0.0, "stop": 7.0}]


@pytest.mark.slow
def test_borders_are_cropped_if_asked(videos: Path, tmp_path: Path) -> None:
    assert (
        surgstream(
            ["pack", write(videos), str(tmp_path / "out"), "crop_borders=true", "short_side=64"]
        )
        == 0
    )
    mixed, disc = (shard.videos[0] for shard in load(tmp_path / "out").shards)
    assert (mixed.width, mixed.height) == (114, 64) and (disc.width, disc.height) == (64, 64)
    crop = readings(tmp_path / "out")["disc"]["crop"]
    expected = {"left": 120, "top": 15, "right": 261, "bottom": 156}
    assert all(abs(crop[side] - at) <= 3 for side, at in expected.items())
    assert surgstream(["verify", str(tmp_path / "out")]) == 0


@pytest.mark.slow
def test_a_review_is_kept_to_and_packs_only_its_shards_again(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert surgstream(["pack", write(videos), str(out), "drop=[text,out_of_body]"]) == 0
    before = contents(out)
    lines = ("d,mixed,16,19,keep", "d,mixed,5.5,7.5,drop", "d,mixed,7,7.1,keep")
    assert surgstream(["pack", write(videos, *lines), str(out), "drop=[text,out_of_body]"]) == 0
    assert parts(out) == [part(4, 6), part(7, 19), part(22, 34)]
    decided = [(16.0, 19.0, True), (5.5, 7.5, False), (7.0, 7.1, True)]
    assert load(out).review == tuple(
        Reviewed(dataset="d", video="mixed", start=start, stop=stop, keep=keep)
        for start, stop, keep in decided
    )
    changed = {name for name, data in contents(out).items() if before.get(name) != data}
    assert not any("e-000000" in name for name in changed) and any(
        "d-000000" in name for name in changed
    )
    assert surgstream(["pack", write(videos), str(out), "drop=[text,out_of_body]"]) == 0
    assert contents(out) == before, "without the review all is as it was"


def test_a_review_may_lie_in_a_bucket(videos: Path, tmp_path: Path) -> None:
    corpus = Path(write(videos))
    with s3_bucket("reviews") as bucket:
        open_storage(bucket).write(
            "review.csv", b"dataset,video,start,stop,decision\nd,mixed,0,2,drop\n"
        )
        corpus.write_text(f"{corpus.read_text()}review: {bucket}/review.csv\n")
        assert surgstream(["pack", str(corpus), str(tmp_path / "out"), "--plan-only"]) == 0
    assert '"drop"' in (tmp_path / "out" / "plan.json").read_text()


@pytest.mark.slow
def test_a_stretch_is_reviewed_by_the_seconds_that_are_told_of_it(
    videos: Path, tmp_path: Path
) -> None:
    assert (
        surgstream(
            [
                "pack",
                write(videos),
                str(tmp_path / "out"),
                "fps=29.97",
                "drop=[text,out_of_body,face]",
            ]
        )
        == 0
    )
    found = [f for f in readings(tmp_path / "out")["mixed"]["findings"] if f["kind"] != "black"]
    lines = [f"d,mixed,{f['start']},{f['stop']},drop" for f in found]
    assert surgstream(["pack", write(videos, *lines), str(tmp_path / "reviewed"), "fps=29.97"]) == 0
    assert parts(tmp_path / "reviewed") == parts(tmp_path / "out")


def test_a_segment_tells_of_what_was_found_in_it_alone() -> None:
    fps = Fraction("29.97")
    for first in range(1, 200):
        start, stop = first / fps, 2 * first / fps
        finding = Finding(
            kind="text", start=float(start), stop=float(stop), score=1, shown=float(start)
        )
        reading = replace(BARE, findings=(finding,))
        told = [
            len(reading.between(*span)["findings"])
            for span in ((0 * fps, start), (start, stop), (stop, 2 * stop))
        ]
        assert told == [0, 1, 0]


@pytest.mark.slow
def test_a_review_that_drops_all_is_told(videos: Path, tmp_path: Path) -> None:
    assert surgstream(["pack", write(videos, "d,mixed,0,100,drop"), str(tmp_path / "out")]) == 0
    assert (
        "all of its 34 frames are dropped: by the review"
        in (tmp_path / "out" / "quarantine.jsonl").read_text()
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("d,other,1,2,drop",), "datasets: d: review: no video has the id 'other' (of 1 such)"),
        (("d,mixed,2,1,drop",), "line 2: expected seconds with start below stop, got '2' to '1'"),
        (
            ("d,mixed,0,1,keep", "d,mixed,a,,drop"),
            "line 3: expected seconds with start below stop, got 'a' to ''",
        ),
        (("d,mixed,1,2,discard",), "line 2: decision: expected keep or drop, got 'discard'"),
        (("d,mixed,1",), "line 2: expected seconds"),
        (
            ("d,mixed,1,2,drop," + 200_000 * "x",),
            "review.csv: expected a CSV file: field larger than field limit",
        ),
    ],
)
def test_a_wrong_review_is_refused(
    videos: Path,
    tmp_path: Path,
    lines: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert surgstream(["pack", write(videos, *lines), str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_review_files(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(
        b"\xef\xbb\xbfremark,decision,stop,start,video,dataset\r\nwall,drop,2.5,1,v,d\r\n,keep,9,3,v,d\r\n"
    )
    assert load_review(str(path), Stores()) == {
        ("d", "v"): (Decision(start=1, stop=2.5, keep=False), Decision(start=3, stop=9, keep=True))
    }
    path.write_text("start,stop,decision,dataset,video\n1,2,drop,d\n")
    assert list(load_review(str(path), Stores())) == [("d", "")], "which no video has"
    path.write_text("dataset,video,start,stop\n")
    with pytest.raises(
        ConfigError, match=r"expected the columns dataset, video.*; decision is missing"
    ):
        load_review(str(path), Stores())
    with pytest.raises(ConfigError, match=r"review: expected a CSV file: .*none\.csv is missing"):
        load_review(str(tmp_path / "none.csv"), Stores())


@pytest.mark.slow
def test_the_documentation_names_all_that_enters_a_shard(videos: Path, tmp_path: Path) -> None:
    assert surgstream(["pack", write(videos), str(tmp_path / "out")]) == 0
    with tarfile.open(tmp_path / "out" / load(tmp_path / "out").shards[0].name) as tar:
        member = next(name for name in tar.getnames() if name.endswith(".json"))
        said = json.load(tar.extractfile(member))  # type: ignore[arg-type]
    page = (ROOT / "docs" / "packing.md").read_text()
    paragraph = page[page.index("- **What enters a corpus.**") :].partition("The manifest")[0]
    assert set(re.findall("`([a-z_]+)`", paragraph)) == said.keys()


@pytest.mark.slow
def test_neither_sound_nor_what_a_container_says_enters_a_corpus(tmp_path: Path) -> None:
    name = "DOE JANE 19620102"
    make_film(tmp_path / "a.mp4", scenes(("tissue", 3)), metadata={"title": name, "comment": name})
    make_film(tmp_path / "b.mkv", scenes(("tissue", 3)), metadata={"title": name, "patient": name})
    make_video(tmp_path / "c.mp4", 50, sound_seconds=2)
    for number in range(3):
        Image.fromarray(scene("tissue", number)).save(
            tmp_path / f"{number}.jpg", comment=name.encode()
        )
    folder = tmp_path / "images" / "d"
    folder.mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"{number}.jpg").rename(folder / f"{number}.jpg")
    assert all(
        name.encode() in path.read_bytes()
        for path in (tmp_path / "a.mp4", tmp_path / "b.mkv", folder / "0.jpg")
    )
    corpus = write_corpus(
        tmp_path,
        {"name": "v", "videos": ["*.mp4", "*.mkv"]},
        {"name": "i", "videos": "images/*", "image_fps": 1},
    )
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 0
    packed = contents(tmp_path / "out")
    assert not any(name.encode() in data for data in packed.values())
    for shard in load(tmp_path / "out").shards:
        with tarfile.open(tmp_path / "out" / shard.name) as tar:
            assert {Path(member).suffix for member in tar.getnames()} == {".json", ".jpg"}
