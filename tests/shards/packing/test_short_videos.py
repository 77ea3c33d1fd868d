"""Videos that are too short to be worth packing: left out where `min_seconds` says so, and told of."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from surgstream.launch.__main__ import main
from surgstream.shards.format.names import READINGS_NAME
from surgstream.shards.packing.plan_records import PlannedShard
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.videos import make_video, picture_of

SECONDS = {"a": 2, "b": 3, "c": 4, "long": 6}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name, seconds in SECONDS.items():
        make_video(tmp_path / "videos" / f"{name}.mp4", 25 * seconds)
    return tmp_path


def described(folder: Path, of_dataset: float | None = None, **options: object) -> str:
    dataset = {"name": "d", "videos": "videos/*.mp4", "min_seconds": of_dataset}
    return write_corpus(folder, dataset, workers=1, **options)


def packed(out: Path) -> list[str]:
    return [video.id for shard in load(out).shards for video in shard.videos]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of_dataset", "option", "fps", "expected"),
    [
        (4, 0, 2.5, ["c", "long"]),
        (None, 4, 1, ["c", "long"]),
        (0, 4, 1, ["a", "b", "c", "long"]),
    ],
)
def test_a_video_is_packed_that_is_long_enough(
    videos: Path, of_dataset: float | None, option: float, fps: float, expected: list[str]
) -> None:
    corpus = described(videos, of_dataset, min_seconds=option)
    assert main(["pack", corpus, str(videos / "out"), f"fps={fps}"]) == 0
    assert packed(videos / "out") == expected


def test_still_images_have_no_length(tmp_path: Path) -> None:
    """So one corpus file packs them beside videos that are to be long."""
    for number in range(2):
        picture = Image.fromarray(picture_of(number))
        (tmp_path / "images").mkdir(exist_ok=True)
        picture.save(tmp_path / "images" / f"{number}.png")
    stills = {"name": "stills", "videos": "images/*.png", "stills": True}
    corpus = write_corpus(tmp_path, stills, workers=1, fps=1, min_seconds=4)
    assert main(["pack", corpus, str(tmp_path / "out")]) == 0
    assert packed(tmp_path / "out") == ["0", "1"]


@given(
    st.integers(1, 10**6),
    st.sampled_from(["0.001", "0.1", "1", "6.25", "29.97"]),
    st.integers(0, 10**6),
)
def test_length_is_counted_in_frames(num_frames: int, fps: str, seconds: int) -> None:
    shard = PlannedShard(
        name="d/d-000000.tar",
        dataset="d",
        specialty="s",
        procedure="p",
        licence=None,
        min_seconds=seconds,
        videos=(),
    )
    assert shard.is_too_short(num_frames, float(fps)) == (
        Fraction(num_frames) / Fraction(fps) < seconds
    )
    assert not shard.is_too_short(0, float(fps)), "that is another reason to leave it out"


def test_what_is_left_out_is_told_and_is_no_failure(
    videos: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    corpus, out, page = described(videos, 4), videos / "out", videos / "report"
    assert main(["pack", corpus, str(out), "--plan-only"]) == 0
    told = (
        "datasets: d: 2 of 4 videos are shorter than min_seconds=4, by the lengths that their files "
        "declare: they are left out"
    )
    assert caplog.messages == [told]

    assert main(["pack", corpus, str(out), "--strict", "--report", str(page)]) == 0
    said = capsys.readouterr().out
    assert "left out, shorter than min_seconds: 2 videos of d, 5.0 s in all\n" in said
    assert "in quarantine" not in said and not (out / "quarantine.jsonl").exists()
    readings = [json.loads(line) for line in (out / READINGS_NAME).read_text().splitlines()]
    assert {each["video"]: each["too_short"] for each in readings} == {
        "a": True,
        "b": True,
        "c": False,
        "long": False,
    }

    html = (page / "index.html").read_text()
    assert "left out, since they are shorter than min_seconds: 2." in html
    assert html.count("not packed: it is shorter than min_seconds") == 2


def test_a_dataset_of_short_videos_alone_has_a_line(
    videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("d", "short"):
        make_video(videos / name / "a.mp4", 25 * (5 if name == "d" else 2))
    datasets = [
        {"name": name, "videos": f"{name}/*.mp4", "min_seconds": 4} for name in ("d", "short")
    ]
    assert main(["pack", write_corpus(videos, *datasets, workers=1), str(videos / "out")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [
        (line[0], line[1], line[-1]) for line in lines if line[0] in ("d", "short", "total")
    ] == [
        ("d", "1", "0.0"),
        ("short", "0", "2.0"),
        ("total", "1", "2.0"),
    ]


@pytest.mark.slow
def test_length_is_what_is_left_when_all_else_is_dropped(videos: Path) -> None:
    (videos / "review.csv").write_text(
        "dataset,video,start,stop,decision\nd,long,0,2.5,drop\nd,c,0,0.5,drop\n"
    )
    assert (
        main(
            [
                "pack",
                described(videos, 3.5),
                str(videos / "out"),
                "--review",
                str(videos / "review.csv"),
                "fps=2",
            ]
        )
        == 0
    )
    assert packed(videos / "out") == ["c", "long"], "3.5 seconds of each"
    assert (
        main(
            [
                "pack",
                described(videos, 3.6),
                str(videos / "more"),
                "--review",
                str(videos / "review.csv"),
                "fps=2",
            ]
        )
        == 1
    )


def test_counts_are_of_what_is_packed(videos: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = {
        "name": "d",
        "videos": "videos/*.mp4",
        "min_seconds": 4,
        "expected": {"videos": 2, "frames": 10},
    }
    corpus = write_corpus(videos, dataset)
    assert (
        main(["pack", corpus, str(videos / "out"), "--plan-only"])
        == main(["pack", corpus, str(videos / "out")])
        == 0
    )
    assert not [message for message in caplog.messages if "expected" in message]


@pytest.mark.slow
def test_another_length_packs_again_and_only_then(
    videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = videos / "out"
    assert main(["pack", described(videos, 4), str(out)]) == 0
    first = contents(out)
    assert main(["pack", described(videos, 4), str(out)]) == 0
    said = capsys.readouterr().out.split("left out")[-1]
    assert contents(out) == first and "2 videos of d" in said and "all was packed before" in said
    assert main(["pack", described(videos, 3), str(out)]) == 0
    assert packed(out) == ["b", "c", "long"]
    assert main(["pack", described(videos, 3), str(videos / "fresh")]) == 0
    assert contents(videos / "fresh") == contents(out)


def test_nothing_long_enough_is_an_error(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", described(videos, 60), str(videos / "out")]) == 1
    assert "4 are shorter than min_seconds (readings.jsonl)" in capsys.readouterr().err
