"""The benchmark of the rules, on a source of its own."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from surgstream.benchmarks.experiments.views import SOURCES, Row, measure, table
from tests.helpers.scenes import make_film, scene, scenes


def test_pictures_and_seconds_of_videos_are_counted_by_kind(tmp_path: Path) -> None:
    folder = tmp_path / "source" / "train"
    for name, kind, label in (
        ("a", "out_of_body", "1"),
        ("b", "tissue", "2"),
        ("c", "text", "4"),
        ("d", "tissue", "1"),
    ):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "labels").mkdir(exist_ok=True)
        Image.fromarray(scene(kind, 0)).save(folder / "images" / f"{name}.jpg", quality=95)
        (folder / "labels" / f"{name}.txt").write_text(f"{label} 0.5 0.5\n4 0.1 0.1\n")
    make_film(tmp_path / "source" / "v.mp4", scenes(("out_of_body", 2), ("tissue", 3)))
    source = replace(SOURCES[0], folder="source", files=("train/images/*.jpg",), labelled=True)

    def kinds(**changes: object) -> dict[str, int]:
        return measure(replace(source, **changes), tmp_path).kinds  # type: ignore[arg-type]

    assert kinds(outside=True) == {"out_of_body": 1, "operation": 1}
    assert kinds(outside=False) == {"operation": 1}
    assert kinds(files=("*.mp4",), labelled=False) == {"out_of_body": 2, "operation": 3}


def test_what_is_missing_is_named() -> None:
    rows = [Row(source=source, num_looks=0, kinds={}, seconds=0) for source in SOURCES]
    assert all(f"{source.name} | missing" in table(rows) for source in SOURCES)
