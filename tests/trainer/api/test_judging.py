"""Evaluation in a notebook says what the command says."""

import json
from pathlib import Path

import pytest

import surgstream
from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main
from tests.helpers.labelled import LENGTHS, class_of, write_labelled, write_task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_labelled(tmp_path)
    write_task(tmp_path, "phases", title="Phases & <more>")
    rows = ["video,second,label"]
    for video in (6, 7):
        for second in range(LENGTHS[video] // 2):
            wrong = second % 5 == 0
            rows.append(f"v{video},{second},phase{(class_of(video, second) + wrong) % 3}")
    (tmp_path / "ours.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_it_says_what_the_command_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, ours, labels = (str(folder / name) for name in ("phases.yaml", "ours.csv", "labels"))
    found = surgstream.evaluate(task, {"ours": ours}, labels=labels)
    out = folder / "out"
    words = ["evaluate", task, f"ours={ours}", "--labels", labels, "--out", str(out)]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(found.table)

    result = json.loads((out / "result.json").read_text())
    (row,) = [row for row in result["rows"] if row["kind"] == "model"]
    assert found.value("ours").value == row["values"]["image_accuracy"]["value"]
    assert "image_accuracy: ours 0." in repr(found)

    found.save(str(folder / "page.html"))
    assert (folder / "page.html").read_text() == (out / "report.html").read_text()


def test_a_notebook_shows_the_page_in_a_frame(folder: Path) -> None:
    found = surgstream.evaluate(
        folder / "phases.yaml", {"ours": folder / "ours.csv"}, labels=folder / "labels"
    )
    html = found._repr_html_()
    assert html.startswith("<iframe srcdoc=") and html.count('"') == 6 + 2
    assert "Phases &amp;amp; &amp;lt;more&amp;gt;" in html


def test_what_is_missing_is_told(folder: Path) -> None:
    task, ours = str(folder / "phases.yaml"), {"ours": str(folder / "ours.csv")}
    with pytest.raises(ConfigError, match="expected labels or a corpus, got neither"):
        surgstream.evaluate(task, ours)

    found = surgstream.evaluate(task, ours, labels=str(folder / "labels"))
    with pytest.raises(ConfigError, match="expected one of ours, constant"):
        found.value("theirs")
    with pytest.raises(ConfigError, match="expected one of image_accuracy, got 'dice'"):
        found.value("ours", "dice")
