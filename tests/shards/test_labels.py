"""Labels find the segments in which they hold."""

from fractions import Fraction
from pathlib import Path

import pytest

from configs.errors import ConfigError
from shards.errors import VideoError
from shards.labels import Labels, check_patterns, read_labels
from shards.storage import Stores


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_may_serve_several_kinds(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", 'second,phase,tools\n0,rest,\n2.5,cut,"hook, grasper"\n')
    labels = read_labels({"phase": path, "tools": path}, Stores())
    assert labels.rows == {"phase": [(0.0, "rest"), (2.5, "cut")], "tools": [(0.0, ""), (2.5, "hook, grasper")]}


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
    assert read_labels({"phase": path}, Stores()).rows["phase"] == [(0.5, "first"), (2.0, "b"), (2.0, "a"), (10.0, "c")]


SECONDS = ("x", "", "1/0", "1e400", "1e999999999", "nan", "-inf", "9" * 5000)


@pytest.mark.parametrize(
    "text",
    ["", "phase\nrest\n", "second,step\n0,rest\n", "second,phase\n1\n"]
    + [f"second,phase\n{second},rest\n" for second in SECONDS],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "v.csv", text)
    with pytest.raises(VideoError, match=r"v\.csv: expected a CSV file with the columns 'second' and 'phase'"):
        read_labels({"phase": path}, Stores())


def test_a_pattern_without_a_file_for_any_video_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", "")
    good, mistyped = str(tmp_path / "{video}.csv"), str(tmp_path / "nolabels" / "{video}.csv")
    check_patterns({"phase": good}, ["a", "b"], Stores(), where="datasets: d")
    check_patterns({}, ["a"], Stores(), where="datasets: d")
    for patterns, videos in (({"phase": good, "tools": mistyped}, ["a", "b"]), ({"tools": good}, ["a", "c"])):
        with pytest.raises(ConfigError, match=r"datasets: d: labels\.tools: expected .* at least one of 2 videos"):
            check_patterns(patterns, videos, Stores(), where="datasets: d")


def test_a_file_too_large_to_be_labels_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "v.csv", "second,phase\n0,rest\n")
    monkeypatch.setattr("shards.labels.LARGEST_FILE", 10)
    with pytest.raises(VideoError, match=r"v\.csv: .* it has more than 10 bytes"):
        read_labels({"phase": path}, Stores())
