"""Labels find the segments in which they hold."""

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.labels import Labels, check_labels, read_labels
from surgstream.shards.errors import VideoError
from surgstream.shards.storage.stores import Stores


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_may_serve_several_kinds(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", 'second,phase,tools\n0,rest,\n2.5,cut,"hook, grasper"\n')
    labels = read_labels({"phase": path, "tools": path}, Stores())
    assert labels.rows == {
        "phase": [(0.0, "rest"), (2.5, "cut")],
        "tools": [(0.0, ""), (2.5, "hook, grasper")],
    }


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 1, []),
        (1, 2, ["a", "b"]),
        (2, 3, ["a", "b"]),
        (2, 6, ["a", "b", "c"]),
        (5, 6, ["c"]),
        (Fraction(11, 2), 60, ["c", "d"]),
        (9, 60, ["d"]),
    ],
)
def test_a_row_holds_until_the_next(start: int, stop: int, expected: list[str]) -> None:
    labels = Labels({"phase": [(1.0, "a"), (1.0, "b"), (5.0, "c"), (9.0, "d")]})
    found = labels.between(Fraction(start), Fraction(stop))
    assert [value for _, value in found.get("phase", [])] == expected


def test_rows_are_put_in_order_of_time_and_stay_as_written_within_a_second(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", "second,phase\n10,c\n2,b\n2,a\n0.5,first\n")
    assert read_labels({"phase": path}, Stores()).rows["phase"] == [
        (0.5, "first"),
        (2.0, "b"),
        (2.0, "a"),
        (10.0, "c"),
    ]


SECONDS = ("x", "", "1/0", "1e400", "1e999999999", "nan", "-inf", "9" * 5000)


@pytest.mark.parametrize(
    "text",
    ["", "phase\nrest\n", "second,step\n0,rest\n", "second,phase\n1\n"]
    + [f"second,phase\n{second},rest\n" for second in SECONDS],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "v.csv", text)
    with pytest.raises(
        VideoError, match=r"v\.csv: expected a CSV file with the columns 'second' and 'phase'"
    ):
        read_labels({"phase": path}, Stores())


def check(patterns: dict[str, str], *videos: str) -> None:
    files = [
        {kind: pattern.replace("{video}", video) for kind, pattern in patterns.items()}
        for video in videos
    ]
    check_labels(patterns, files, Stores(), where="datasets: d")


def test_a_pattern_without_a_file_for_any_video_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", "second,phase\n")
    good, mistyped = str(tmp_path / "{video}.csv"), str(tmp_path / "nolabels" / "{video}.csv")
    check({"phase": good}, "a", "b")
    check({}, "a")
    for patterns, videos in (
        ({"phase": good, "tools": mistyped}, ("a", "b")),
        ({"tools": good}, ("a", "c")),
    ):
        with pytest.raises(
            ConfigError, match=r"datasets: d: labels\.tools: expected .* at least one of 2 videos"
        ):
            check(patterns, *videos)


def test_one_file_of_another_kind_is_its_videos_and_all_of_them_are_the_corpus_files(
    tmp_path: Path,
) -> None:
    pattern = str(tmp_path / "{video}.csv")
    write(tmp_path / "a.csv", "phase\nrest\n")
    write(tmp_path / "b.csv", "second,phase\n0,rest\n")
    check({"phase": pattern}, "a", "b")
    with pytest.raises(
        ConfigError,
        match=r"datasets: d: labels\.phase: none of 1 files fits, such as .*a\.csv: .*'phase'",
    ):
        check({"phase": pattern}, "a", "c")


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        (
            "Frame\tPhase",
            ["0\tPreparation", "50\tClipping"],
            [(0.0, "Preparation"), (2.0, "Clipping")],
        ),
        ("Seconds;Phase", ["0;rest", "7;cut"], [(0.0, "rest"), (7.0, "cut")]),
        ("Phase,Frame", ["rest,0", "cut,75"], [(0.0, "rest"), (3.0, "cut")]),
    ],
)
def test_files_as_others_publish_them_are_told_how_they_become_ours(
    tmp_path: Path, header: str, rows: list[str], expected: list[tuple[float, str]]
) -> None:
    """Cholec80's, the first, number the pictures of a video of 25 a second. The remedy is tried."""
    path = write(tmp_path / "video01-phase.txt", "\n".join([header, *rows]) + "\n")
    with pytest.raises(ConfigError, match="columns 'second' and 'phase': got ") as caught:
        check({"phase": str(tmp_path / "{video}-phase.txt")}, "video01", "video02")
    remedy = re.search(r"awk -F.* FILE > NEW\.csv", str(caught.value))
    assert remedy
    command = remedy[0].replace("FILE", path).replace("NEW.csv", str(tmp_path / "new.csv"))
    subprocess.run(command, shell=True, check=True)
    assert read_labels({"phase": str(tmp_path / "new.csv")}, Stores()).rows["phase"] == expected


def test_a_file_too_large_to_be_labels_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "v.csv", "second,phase\n0,rest\n")
    monkeypatch.setattr("surgstream.shards.labels.tables.MAX_LABELS", 10)
    with pytest.raises(VideoError, match=r"v\.csv: .* it has more than 10 bytes"):
        read_labels({"phase": path}, Stores())


@pytest.mark.parametrize("row", ["1,5,cut", "3,hook,grasper"])
def test_a_row_of_more_columns_than_the_header_is_refused_since_its_label_would_be_another(
    tmp_path: Path, row: str
) -> None:
    path = write(tmp_path / "v.csv", f"second,phase\n0,rest,\n{row}\n")
    with pytest.raises(
        VideoError, match=f"got a row of more columns, '{row}'; put what has commas in quotes"
    ):
        read_labels({"phase": path}, Stores())
