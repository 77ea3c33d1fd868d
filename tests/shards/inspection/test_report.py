"""The report of a packed corpus."""

import math
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.format.checksummed import dump_checksummed, load_checksummed
from surgstream.shards.inspection.colours import BINS, histogram
from surgstream.shards.inspection.filmed import spacing
from tests.helpers.packing import write_corpus
from tests.helpers.scenes import in_disc, make_film, scene, scenes, written


class Tags(HTMLParser):
    """The tags and words of a page; unclosed ones are an error."""

    VOID = ("meta", "img", "input")

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page.read_text())
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open += [tag] * (tag not in self.VOID)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] * bool(data.strip())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a disc, of a video with all kinds of scenes, of one that is written on, and of what is no video."""
    folder = tmp_path_factory.mktemp("reported")
    make_film(folder / "disc.mp4", [in_disc(scene("tissue", n), (190, 85), 55) for n in range(100)])
    make_film(
        folder / "mixed.mp4",
        scenes(("text", 4), ("tissue", 12), ("face", 3), ("tissue", 10), ("black", 2)),
    )
    make_film(
        folder / "named.mp4",
        [written("DOE, JANE", scene("tissue", n), (170, 20)) for n in range(100)],
    )
    (folder / "broken.mp4").write_bytes(b"<script>" * 100)
    corpus = write_corpus(
        folder, {"name": "d", "videos": "*.mp4"}, drop=["text", "black"], crop_borders=True
    )
    (folder / "review.csv").write_text(
        "dataset,video,start,stop,decision\nd,mixed,16,19,drop\nd,mixed,6,7.5,drop\n"
    )
    words = ["--review", str(folder / "review.csv"), "--report", str(folder / "report")]
    assert surgstream(["pack", corpus, str(folder / "out"), *words]) == 0
    return folder / "report"


@pytest.mark.slow
def test_every_video_has_its_section_and_its_pictures(report: Path) -> None:
    page = Tags(report / "index.html")
    assert [section.get("id") for section in page.of("section")] == [
        "d/broken",
        "d/disc",
        "d/mixed",
        "d/named",
    ]
    assert [section.get("class") for section in page.of("section")[1:]] == [None, None, None]
    told = "Borders are cropped. Dropped is text, black."
    assert any(
        "Packed: the train split, 1.0 frames a second, 256 pixels" in words and told in words
        for words in page.words
    )
    pictures = [str(image["src"]) for image in page.of("img")]
    assert (
        len(pictures) == len(set(pictures)) == 3 + 1 + 4 + 1
    )  # strips, the crop, four findings, the writing
    for picture in pictures:
        with Image.open(report / picture) as image:
            image.load()


@pytest.mark.slow
def test_it_tells_what_was_found_and_decided(report: Path) -> None:
    page = Tags(report / "index.html")
    spans = [
        (row["data-start"], row["data-stop"]) for row in page.of("tr") if row.get("data-start")
    ]
    assert spans == [
        ("0", "4"),
        ("16", "19"),
        ("29", "31"),
        ("15", "20"),
        ("6", "7.5"),
        ("0", "20"),
    ]
    checked = [radio["value"] for radio in page.of("input") if "checked" in radio]
    assert checked == ["", "drop", "", "", "drop", "", "drop"], (
        "two by the review, and the template's"
    )
    for words in (
        "not packed: cannot be opened as a video: Invalid data found when processing input",
        "by hand",
    ):
        assert words in page.words
    for warning in ("a face may be seen", "most of the picture is cropped"):
        assert warning in page.words
    assert any("a name, a date?" in words for words in page.words)


def cells(page: Path, picture: dict[str, str | None]) -> list[tuple[float, Image.Image]]:
    """The pictures of a sheet, and their seconds."""
    columns, width, height, across, down, *_ = (
        int(word)
        for name in ("columns", "size", "cell")
        for word in str(picture[f"data-{name}"]).split()
    )
    with Image.open(page.parent / str(picture["src"])) as sheet:
        sheet.load()
        assert sheet.size == (int(str(picture["width"])), int(str(picture["height"])))
    corners = [(k % columns * across, k // columns * down) for k in range(10**3)]
    seconds = [float(word) for word in str(picture["data-seconds"]).split()]
    return [
        (s, sheet.crop((x, y, x + width, y + height)))
        for s, (x, y) in zip(seconds, corners, strict=False)
    ]


def alike(picture: Image.Image, kind: str) -> bool:
    """Whether a picture, frame aside, is one of a scene."""
    expected = Image.fromarray(scene(kind, 0)).resize(picture.size)
    inside = (slice(12, -12), slice(12, -12))
    return bool(
        np.abs(np.asarray(picture)[inside].astype(int) - np.asarray(expected)[inside]).mean() < 8
    )


@pytest.fixture(scope="module")
def dropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a video of which some is dropped, and of one of which all is."""
    folder = tmp_path_factory.mktemp("dropped")
    make_film(
        folder / "in" / "some.mp4",
        scenes(("text", 8), ("tissue", 30), ("face", 5), ("tissue", 7)),
        gop=250,
    )
    make_film(folder / "in" / "all.mp4", scenes(("text", 8), ("uniform", 16)))
    corpus = write_corpus(
        folder, {"name": "d", "videos": "in/*.mp4"}, drop=["text", "face", "uniform"]
    )
    assert (
        surgstream(["pack", corpus, str(folder / "out"), "--report", str(folder / "report")]) == 0
    )
    return folder


@pytest.mark.slow
def test_what_is_dropped_is_seen_as_it_is_in_the_source(dropped: Path) -> None:
    page = dropped / "report" / "index.html"
    sheets = {
        str(image["src"]).removeprefix("pictures/d/"): cells(page, image)
        for image in Tags(page).of("img")
    }
    assert {
        "some/time0.jpg",
        "some/0_text0.jpg",
        "some/2_face0.jpg",
        "all/time0.jpg",
        "all/1_uniform0.jpg",
    } <= sheets.keys()
    for second, picture in sheets["some/time0.jpg"]:
        kind = "text" if second < 8 else "face" if 38 <= second < 43 else "tissue"
        assert kind == "tissue" or alike(picture, kind)
    # A face is taken to last up to the looks that were searched in vain, here to second 44.
    faces = sheets["some/2_face0.jpg"]
    assert [(second, alike(picture, "face")) for second, picture in faces] == [
        (38, True),
        (39, True),
        (40, True),
        (43, False),
    ]
    for name, kind in (("all/0_text0.jpg", "text"), ("all/1_uniform0.jpg", "uniform")):
        assert all(alike(picture, kind) for _, picture in sheets[name])


@pytest.mark.slow
def test_a_video_that_is_dropped_whole_is_a_section_as_any_other(dropped: Path) -> None:
    page = Tags(dropped / "report" / "index.html")
    assert [section["id"] for section in page.of("section")] == ["d/all", "d/some"]
    assert any(
        "not packed: all of its 24 frames are dropped: text, uniform" in words
        for words in page.words
    )
    assert "dropped: 0:00:00 to 0:00:24" in page.words, "on its timeline"
    rows = [row["data-stop"] for row in page.of("tr") if row.get("data-stop")]
    assert rows[:2] == ["8", "24"], "what was found in it can be decided about"
    (first, *_) = (image for image in page.of("img") if "d/all/time" in str(image["src"]))
    assert len(str(first["data-seconds"]).split()) >= 10


def test_without_its_source_what_is_dropped_has_no_picture(dropped: Path, tmp_path: Path) -> None:
    report = ["inspect", str(dropped / "out"), "--report"]
    assert surgstream([*report, str(tmp_path / "known")]) == 0
    with_sources = (tmp_path / "known" / "index.html").read_text()
    assert with_sources == (dropped / "report" / "index.html").read_text(), (
        "the plan tells where they lie"
    )
    (dropped / "in").rename(dropped / "gone")
    try:
        assert surgstream([*report, str(tmp_path / "gone")]) == 0
    finally:
        (dropped / "gone").rename(dropped / "in")
    page = Tags(tmp_path / "gone" / "index.html")
    assert (
        sum(
            "what is dropped has no pictures here, since its source cannot be read" in w
            for w in page.words
        )
        == 2
    )
    assert not [image for image in page.of("img") if "d/all" in str(image["src"])]
    (strip,) = (image for image in page.of("img") if "d/some/time" in str(image["src"]))
    kept = [
        picture
        for second, picture in cells(tmp_path / "gone" / "index.html", strip)
        if 8 <= second < 38
    ]
    assert len(kept) > 5 and np.asarray(kept[0]).mean() > 30


@given(st.floats(0.1, 10**6))
def test_there_is_a_picture_every_30_seconds_at_least(seconds: float) -> None:
    apart = spacing(seconds)
    assert apart <= 30 and (apart >= 10 or seconds / apart <= 10.1), "no denser than it need be"
    assert seconds / apart >= min(9.9, seconds)


@pytest.mark.slow
def test_all_that_was_decided_is_there_to_be_saved_again(tmp_path: Path) -> None:
    for name in ("gone", "mixed"):
        make_film(
            tmp_path / f"{name}.mp4", scenes(("tissue", 5), ("out_of_body", 3), ("tissue", 10))
        )
    (tmp_path / "bad.mp4").write_text("no video")
    third = 1 / 3
    lines = (
        "bad,0,1,keep",
        "gone,0,1e4,drop",
        "mixed,0.0,9.0,keep",
        f"mixed,{third},12345.678,drop",
        "mixed,5,8,keep",
    )
    (tmp_path / "review.csv").write_text(
        "\n".join(("dataset,video,start,stop,decision", *(f"d,{x}" for x in lines)))
    )
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"})
    words = ["--review", str(tmp_path / "review.csv"), "--report", str(tmp_path / "report")]
    assert surgstream(["pack", corpus, str(tmp_path / "out"), *words]) == 0
    rows = [
        row for row in Tags(tmp_path / "report" / "index.html").of("tr") if row.get("data-start")
    ]
    found = [(row["data-start"], row["data-stop"], row["data-order"]) for row in rows]
    of_gone = [("5", "8", "0"), ("0", "10000", "-1")]
    of_mixed = [("5", "8", "-1"), ("0", "9", "-3"), (str(third), "12345.678", "-2")]
    assert found == [("0", "1", "-1"), *of_gone, *of_mixed]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shown"), [(b"<b>&'x.mp4", "<b>&'x.mp4"), (b"\xff.mp4", "?.mp4")])
def test_what_names_say_is_text(tmp_path: Path, name: bytes, shown: str) -> None:
    make_film(tmp_path / "film.mp4", scenes(("tissue", 20))).rename(tmp_path / os.fsdecode(name))
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"})
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 0
    assert surgstream(["inspect", str(tmp_path / "out"), "--report", str(tmp_path / "report")]) == 0
    page = Tags(tmp_path / "report" / "index.html")
    assert any(words.startswith(f"{shown}: h264") for words in page.words)
    (_, plain) = (section.get("class") for section in [{}, *page.of("section")])
    assert plain == "plain", "there is nothing to look at"


def test_a_corpus_that_does_not_know_how_it_was_read_is_told(
    report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert surgstream(["stage", str(report.parent / "out"), str(tmp_path / "staged")]) == 0
    assert (
        surgstream(["inspect", str(tmp_path / "staged"), "--report", str(tmp_path / "report")]) == 1
    )
    told = "expected how d/disc was read, got nothing; report on the corpus that this one was staged from\n"
    assert told in capsys.readouterr().err


def test_a_report_is_written_here(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["pack", "corpus.yaml"], ["inspect"]):
        with pytest.raises(SystemExit, match="2"):
            surgstream([*words, str(report.parent / "out"), "--report", "s3://bucket/report"])
        assert (
            "expected a folder of this machine, got 's3://bucket/report'" in capsys.readouterr().err
        )


def test_a_report_does_not_lie_in_the_corpus(
    report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = str(report.parent / "corpus.yaml"), str(report.parent / "out")
    for words in (["pack", corpus, out], ["inspect", out]):
        assert surgstream([*words, "--report", f"{out}/report"]) == 2
        assert f"--report: expected a path outside of {out}" in capsys.readouterr().err
    assert not (report.parent / "out" / "report").exists()


@pytest.mark.parametrize("stop", [1e300, math.inf, math.nan, -1.0])
def test_seconds_that_no_video_has_are_refused(
    report: Path, tmp_path: Path, stop: float, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(report.parent / "out", tmp_path / "out"))
    lines = (out / "readings.jsonl").read_bytes().splitlines(keepends=True)
    reading = load_checksummed(lines[0], where="")
    (out / "readings.jsonl").write_bytes(
        dump_checksummed({**reading, "dropped": [{"start": 0.0, "stop": stop}]})
        + b"".join(lines[1:])
    )
    assert surgstream(["inspect", str(out), "--report", str(tmp_path / "report")]) == 1
    assert "readings.jsonl: " in capsys.readouterr().err


def test_histograms_count_every_value() -> None:
    pixels = np.random.default_rng(1).integers(256, size=(2, 30, 40, 3)).astype(np.uint8)
    counts = np.array(histogram(map(Image.fromarray, pixels)))
    expected = [
        np.bincount(pixels[..., channel].ravel() // (256 // BINS), minlength=BINS)
        for channel in range(3)
    ]
    assert np.array_equal(counts, expected)


@pytest.mark.slow
def test_a_header_that_tells_too_short_a_length_cuts_nothing_off(tmp_path: Path) -> None:
    tape = make_film(tmp_path / "v.ts", scenes(("tissue", 20)))
    tape.write_bytes(tape.read_bytes() * 2)
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.ts"})
    words = ["--report", str(tmp_path / "report")]
    assert surgstream(["pack", corpus, str(tmp_path / "out"), *words]) == 0
    assert "packed: 0:00:00 to 0:00:40" in Tags(tmp_path / "report" / "index.html").words
