"""What `surgstream inspect` says and draws of a corpus."""

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.errors import CorruptSampleError
from surgstream.shards.inspection.packed_frames import find_video, nearest_frame, spread
from surgstream.shards.inspection.sheet import CELL_HEIGHT, CELL_WIDTH, Row, draw_sheet
from tests.helpers.commands import inspect as main
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video, number_in


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets of one specialty and one of another; one video is short, one has a hole."""
    folder = tmp_path_factory.mktemp("inspected")
    for name, count in (("one/a", 100), ("one/b", 20), ("two/a", 60)):
        make_video(folder / f"{name}.mp4", count)
    make_video(folder / "three" / "c.mp4", 120, size=(64, 64), gop=25)
    data = bytearray((folder / "three" / "c.mp4").read_bytes())
    middle = data.index(b"mdat") + 4 + (len(data) - data.index(b"mdat")) * 45 // 100
    data[middle : middle + 60] = b"\xff" * 60
    (folder / "three" / "c.mp4").write_bytes(data)
    datasets = [
        {"name": name, "videos": f"{name}/*", "specialty": "other" if name == "three" else "shared"}
        for name in ("one", "two", "three")
    ]
    path = write_corpus(folder, *datasets, fps=5, short_side=32)
    assert surgstream(["pack", path, str(folder / "out")]) == 0
    return folder / "out"


@pytest.mark.slow
def test_the_numbers_are_those_of_the_corpus(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(corpus), "--json", "--short", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    videos = {(s.dataset, v.id): v for s in load(corpus).shards for v in s.videos}
    assert {
        d["name"]: (d["num_videos"], d["num_frames"], d["num_short"]) for d in found["datasets"]
    } == {
        "one": (2, 24, 1),
        "two": (1, 12, 0),
        "three": (1, videos["three", "c"].num_frames, 0),
    }
    total = sum(video.num_frames for video in videos.values())
    assert found["total"]["num_frames"] == total and found["total"]["hours"] == pytest.approx(
        total / 5 / 3600
    )
    shares = {specialty["name"]: specialty["share"] for specialty in found["specialties"]}
    assert shares == pytest.approx({"shared": 36 / total, "other": 1 - 36 / total})
    by_name = {d["name"]: d for d in found["datasets"]}
    assert by_name["three"]["num_parts"] == len(videos["three", "c"].parts) == 2
    assert by_name["three"]["sizes"] == {"32x32": 1} and by_name["one"]["sizes"] == {"43x32": 2}
    assert by_name["one"]["median_seconds"] == pytest.approx((4 + 0.8) / 2)
    assert sum(d["num_bytes"] for d in found["datasets"]) == sum(
        s.num_bytes for s in load(corpus).shards
    )
    assert found["packing"]["fps"] == 5


@pytest.mark.slow
def test_the_tables_say_the_same(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert surgstream(["inspect", str(corpus)]) == 0
    datasets, specialties = capsys.readouterr().out.split("\n\n")
    assert [line.split()[0] for line in datasets.splitlines()] == [
        "dataset",
        "one",
        "three",
        "two",
        "total",
    ]
    assert [line.split()[0] for line in specialties.splitlines()] == [
        "specialty",
        "other",
        "shared",
    ]
    assert datasets.splitlines()[1].split()[1:5] == ["2", "1", "2", "24"]


def test_hours_are_drawn(corpus: Path, tmp_path: Path) -> None:
    assert main([str(corpus), "--plot", "--out", str(tmp_path)]) == 0
    tree = ElementTree.fromstring((tmp_path / "hours.svg").read_text())
    _, *drawn = tree.iter("{http://www.w3.org/2000/svg}rect")
    bars = [float(bar.get("width", "0")) for bar in drawn]
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert len(bars) == 5 and max(bars) == bars[0], "the larger specialty first"
    assert texts[0] == "0.00 hours in 4 videos" and {"shared", "one", "three"} <= set(texts)


def test_a_sheet_shows_each_video_in_order_of_time(corpus: Path, tmp_path: Path) -> None:
    assert main([str(corpus), "--grid", "--out", str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "one.png",
        "three.png",
        "two.png",
    ]
    assert main([str(corpus), "--video", "two/a", "--grid", "--out", str(tmp_path)]) == 0
    sheet = Image.open(tmp_path / "two_a.png")
    cells = [
        (4 + (CELL_WIDTH + 4) * (k % 8), 22 + (CELL_HEIGHT + 22) * (k // 8)) for k in range(12)
    ]
    numbers = []
    for left, top in cells:
        cell = sheet.crop((left + 24, top, left + 24 + 144, top + CELL_HEIGHT))
        file = io.BytesIO()
        cell.save(file, "PNG")
        numbers.append(number_in(file.getvalue()))
    assert numbers == [5 * k for k in range(12)]


def test_a_frame_is_written_as_it_was_packed(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(corpus), "--video", "one/a", "--second", "2.05", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert (
        "20 frames of 43x32 at 5 a second, in one/one-000000.tar" in told
        and "parts: 0 to 4 s" in told
    )
    data = (tmp_path / "one_a_2s.jpg").read_bytes()
    assert number_in(data) == 50 and data in (corpus / "one" / "one-000000.tar").read_bytes()


def test_a_second_that_is_lost_gives_the_nearest(corpus: Path) -> None:
    placed = find_video(load(corpus), "c")
    (first, second) = placed.video.parts
    hole = (first.first_frame + first.num_frames) / 5
    assert placed.seconds[nearest_frame(placed, hole)] == pytest.approx(hole - 0.2)
    end = (second.first_frame + second.num_frames) / 5
    assert placed.seconds[nearest_frame(placed, end)] == pytest.approx(end - 0.2)
    with pytest.raises(
        ConfigError, match=f"--second: expected 0 to {end:g}, where .* ends, got 99"
    ):
        nearest_frame(placed, 99)


def test_mistakes_are_said(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, whose in (("nobody", "none"), ("a", "one/a, two/a")):
        with pytest.raises(ConfigError, match=f"got '{name}', that of {whose}"):
            main([str(corpus), "--video", name])
    with pytest.raises(SystemExit):
        main([str(corpus), "--second", "3"])
    assert "--second: expected --video as well" in capsys.readouterr().err


def test_a_damaged_frame_is_not_shown(corpus: Path, tmp_path: Path) -> None:
    for name, data in contents(corpus).items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(data)
    tar = bytearray((tmp_path / "two" / "two-000000.tar").read_bytes())
    tar[5000:8000] = bytes(3000)
    (tmp_path / "two" / "two-000000.tar").write_bytes(tar)
    with pytest.raises(
        CorruptSampleError, match=r"two-000000\.tar: frame \d of a is not as it was packed"
    ):
        main([str(tmp_path), "--video", "two/a", "--grid", "--out", str(tmp_path)])


def test_on_s3(corpus: Path, tmp_path: Path) -> None:
    with s3_bucket("inspected") as bucket:
        assert surgstream(["stage", str(corpus), f"{bucket}/corpus"]) == 0
        assert (
            main([f"{bucket}/corpus", "--video", "c", "--second", "1", "--out", str(tmp_path)]) == 0
        )
    assert number_in((tmp_path / "three_c_1s.jpg").read_bytes()) == 25


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [(1, 8, [0]), (3, 8, [0, 1, 2]), (9, 3, [0, 4, 8]), (5, 1, [0])],
)
def test_frames_are_spread_from_the_first_to_the_last(
    count: int, wanted: int, expected: list[int]
) -> None:
    assert spread(count, wanted) == expected


def test_pictures_of_any_shape_fit() -> None:
    tall, wide = (Image.new("RGB", size, (200, 0, 0)) for size in ((10, 400), (4000, 10)))
    sheet = np.asarray(
        draw_sheet([Row("shapes", [(tall, "a"), (wide, "b"), (tall, "c")])], columns=2)
    )
    assert sheet.shape == (2 * (CELL_HEIGHT + 22) + 18 + 4, 2 * (CELL_WIDTH + 4) + 4, 3)
    assert (sheet == (200, 0, 0)).all(-1).any()
