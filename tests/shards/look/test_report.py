"""The report of a packed corpus."""

import os
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from launch.__main__ import main as surgstream
from shards.look.colours import BINS, histogram
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
    make_film(folder / "mixed.mp4", scenes(("text", 4), ("tissue", 12), ("face", 3), ("tissue", 10), ("black", 2)))
    make_film(folder / "named.mp4", [written("DOE, JANE", scene("tissue", n), (170, 20)) for n in range(100)])
    (folder / "broken.mp4").write_bytes(b"<script>" * 100)
    corpus = write_corpus(folder, {"name": "d", "videos": "*.mp4"}, drop=["text", "black"], crop_borders=True)
    (folder / "review.csv").write_text("dataset,video,start,stop,decision\nd,mixed,16,19,drop\nd,mixed,6,7.5,drop\n")
    words = ["--review", str(folder / "review.csv"), "--report", str(folder / "report")]
    assert surgstream(["pack", corpus, str(folder / "out"), *words]) == 3
    return folder / "report"


def test_every_video_has_its_section_and_its_pictures(report: Path) -> None:
    page = Tags(report / "index.html")
    assert [section.get("id") for section in page.of("section")] == ["d/broken", "d/disc", "d/mixed", "d/named"]
    assert [section.get("class") for section in page.of("section")[1:]] == [None, None, None]
    pictures = [str(image["src"]) for image in page.of("img")]
    assert len(pictures) == len(set(pictures)) == 3 + 1 + 4 + 1  # strips, the crop, four findings, the writing
    for picture in pictures:
        with Image.open(report / picture) as image:
            image.load()


def test_it_tells_what_was_found_and_decided(report: Path) -> None:
    page = Tags(report / "index.html")
    spans = [(row["data-start"], row["data-stop"]) for row in page.of("tr") if row.get("data-start")]
    assert spans == [("0", "4"), ("16", "19"), ("29", "31"), ("16", "19"), ("6", "7.5"), ("0", "20")]
    checked = [radio["value"] for radio in page.of("input") if "checked" in radio]
    assert checked == ["", "drop", "", "", "drop", "", "drop"], "two by the review, and the template's"
    for words in ("not packed: cannot be opened as a video: Invalid data found when processing input", "by hand"):
        assert words in page.words
    for warning in ("a face may be seen", "most of the picture is cropped"):
        assert warning in page.words
    assert any("a name, a date?" in words for words in page.words)


def test_all_that_was_decided_is_there_to_be_saved_again(tmp_path: Path) -> None:
    for name in ("gone", "mixed"):
        make_film(tmp_path / f"{name}.mp4", scenes(("tissue", 5), ("outside", 3), ("tissue", 10)))
    (tmp_path / "bad.mp4").write_text("no video")
    third = 1 / 3
    lines = ("bad,0,1,keep", "gone,0,1e4,drop", "mixed,0.0,9.0,keep", f"mixed,{third},12345.678,drop", "mixed,5,8,keep")
    (tmp_path / "review.csv").write_text("\n".join(("dataset,video,start,stop,decision", *(f"d,{x}" for x in lines))))
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"})
    words = ["--review", str(tmp_path / "review.csv"), "--report", str(tmp_path / "report")]
    assert surgstream(["pack", corpus, str(tmp_path / "out"), *words]) == 3
    rows = [row for row in Tags(tmp_path / "report" / "index.html").of("tr") if row.get("data-start")]
    found = [(row["data-start"], row["data-stop"], row["data-order"]) for row in rows]
    others = [("0", "1", "-1"), ("0", "10000", "-1")]
    assert found == [*others, ("5", "8", "-1"), ("0", "9", "-3"), (str(third), "12345.678", "-2")]


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
    assert surgstream(["inspect", str(tmp_path / "staged"), "--report", str(tmp_path / "report")]) == 1
    assert "readings.jsonl: expected how d/disc was read; pack the corpus again" in capsys.readouterr().err


def test_a_report_is_written_here(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["pack", "corpus.yaml"], ["inspect"]):
        with pytest.raises(SystemExit, match="2"):
            surgstream([*words, str(report.parent / "out"), "--report", "s3://bucket/report"])
        assert "expected a folder of this machine, got 's3://bucket/report'" in capsys.readouterr().err


def test_histograms_count_every_value() -> None:
    pixels = np.random.default_rng(1).integers(256, size=(2, 30, 40, 3)).astype(np.uint8)
    counts = np.array(histogram(map(Image.fromarray, pixels)))
    expected = [np.bincount(pixels[..., channel].ravel() // (256 // BINS), minlength=BINS) for channel in range(3)]
    assert np.array_equal(counts, expected)


def test_a_header_that_tells_too_short_a_length_cuts_nothing_off(tmp_path: Path) -> None:
    tape = make_film(tmp_path / "v.ts", scenes(("tissue", 20)))
    tape.write_bytes(tape.read_bytes() * 2)
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.ts"})
    words = ["--report", str(tmp_path / "report")]
    assert surgstream(["pack", corpus, str(tmp_path / "out"), *words]) == 0
    assert "packed: 0:00:00 to 0:00:40" in Tags(tmp_path / "report" / "index.html").words
