import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.launch.scaling import Result, efficiency, plot, read_results, table

SVG = "{http://www.w3.org/2000/svg}"


def measured(
    nodes: int, *node_rates: float, time: float = 1.0, decode: bool = True, **more: Any
) -> dict[str, Any]:
    """What `surgstream loader --out` writes, as far as it is read here."""
    return {
        "format": 1, "time": time, "num_nodes": nodes, "world_size": 8 * nodes, "decode": decode,
        "corpus": {"sha256": "133f5211ec5c5db4"}, "nodes": [{"clips_per_second": rate} for rate in node_rates],
        "total": {
            "clips_per_second": sum(node_rates), "gigabytes_per_second": 0.25 * nodes,
            "requests_per_second": 1200.0 * nodes, "retries": {"throttled": max(0, nodes - 1), "timeout": 0},
        },
        **more,
    }  # fmt: skip


def write(folder: Path, *trees: dict[str, Any]) -> Path:
    for number, tree in enumerate(trees):
        path = folder / f"nodes_{number}" / "loader.json"
        path.parent.mkdir()
        path.write_text(json.dumps(tree))
    return folder


FOUR = measured(4, 900, 940, 1000, 760)


def test_results_grow_by_nodes_and_the_newest_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        FOUR,
        measured(1, 900.0, time=3.0),
        measured(1, 1000.0, time=5.0),
        measured(1, 800.0, time=4.0),
    )
    results = read_results(tmp_path)
    assert [(result.nodes, result.clips_per_second) for result in results] == [
        (1, 1000.0),
        (4, 3600.0),
    ]
    assert efficiency(results[1], results[0]) == pytest.approx(0.9)


def test_the_table(tmp_path: Path) -> None:
    assert table(read_results(write(tmp_path, measured(1, 1000.0), FOUR))) == (
        "                              clips/s of a node\n"
        "nodes  ranks  clips/s  GB/s    min  median    max  GETs/s  retries  efficiency\n"
        "    1      8    1,000  0.25  1,000   1,000  1,000   1,200        0       100 %\n"
        "    4     32    3,600  1.00    760     920  1,000   4,800        3        90 %"
    )


def drawn(
    results: list[Result],
) -> tuple[list[tuple[float, float]], list[tuple[float, float]], list[str]]:
    """The places of the dots and of the ideal line's points, and all texts."""
    root = ElementTree.fromstring(plot(results))
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(f"{SVG}circle")]
    _in_legend, path = (
        path.attrib["d"] for path in root.iter(f"{SVG}path") if path.attrib["class"] == "reference"
    )
    ideal = [tuple(map(float, point.split())) for point in path.lstrip("M").split("L")]
    return dots, ideal, [text.text or "" for text in root.iter(f"{SVG}text")]  # type: ignore[return-value]


def test_the_plot_has_doublings_equally_far_apart_and_labels_where_they_belong(
    tmp_path: Path,
) -> None:
    results = read_results(write(tmp_path, measured(1, 1000.0), measured(2, 1000.0, 1000.0), FOUR))
    dots, ideal, texts = drawn(results)
    (x1, y1), (x2, y2), (x4, y4) = dots
    assert x2 - x1 == pytest.approx(x4 - x2, abs=0.2)
    assert ideal[:2] == dots[:2] and ideal[2] == pytest.approx((x4, 2 * y2 - y1), abs=0.2)
    assert ideal[2][1] < y4 < y2, "SVG counts downwards"
    assert {"1,000", "2,000, 100 %", "3,600, 90 %", "ideal", "nodes", "1", "2", "4"} <= set(texts)
    assert any("clips read and decoded, corpus 133f5211ec5c" in text for text in texts)


@given(st.dictionaries(st.integers(1, 512), st.floats(0, 1e7), min_size=1, max_size=8))
def test_whatever_was_measured_lies_on_the_page(rates: dict[int, float]) -> None:
    results = [
        Result(
            path=Path("x.json"), time=0.0, nodes=nodes, ranks=nodes, clips_per_second=rate, gigabytes_per_second=0.0,
            requests_per_second=0.0, retries=0, node_clips_per_second=(rate / nodes,) * nodes, work="",
        )
        for nodes, rate in sorted(rates.items())
    ]  # fmt: skip
    table(results)
    dots, ideal, _ = drawn(results)
    assert all(0 < x < 760 and 0 < y < 460 and math.isfinite(y) for x, y in dots + ideal)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected files loader\.json, .* got none"):
        read_results(tmp_path)
    write(tmp_path, measured(1, 1000.0), measured(2, 1.0, 1.0, decode=False))
    with pytest.raises(
        ConfigError, match=r"nodes_1/loader\.json: expected clips read and decoded, .* as .*nodes_0"
    ):
        read_results(tmp_path)


@pytest.mark.parametrize(
    "tree",
    [
        [],
        {"format": 1},
        measured(2, 1.0),
        measured(0),
        measured(1, -1.0),
        measured(1, float("nan")),
    ],
)
def test_another_file_is_refused(tmp_path: Path, tree: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"nodes_0/loader\.json: expected what `surgstream loader --out` writes"
    ):
        read_results(write(tmp_path, tree))


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected format 1, got 2; measure again"):
        read_results(write(tmp_path, measured(1, 1.0) | {"format": 2}))
