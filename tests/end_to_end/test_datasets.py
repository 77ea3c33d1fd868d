"""Runs on some datasets of a corpus: those of a corpus that has no others, to the bit, and their export."""

from pathlib import Path

import pytest

from surgstream.launch.__main__ import main
from surgstream.trainer.engine.checkpoint_files import read_progress
from tests.end_to_end.conftest import PACKING, Corpora
from tests.end_to_end.runs import audit, fail, losses, metrics, newest, planned, train

CHOSEN = ("foxglove", "meander")
DATASETS = f"data.datasets=[{','.join(CHOSEN)}]"
SHORT = ("max_steps=6", "checkpoint.every_steps=3")


def test_a_run_on_some_datasets_is_that_on_a_corpus_of_them_alone(
    corpora: Corpora, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    words = [
        str(corpora.videos / "corpus.yaml"),
        str(few),
        *PACKING,
        "--datasets",
        ",".join(CHOSEN),
    ]
    assert main(["pack", *words]) == 0

    part = tmp_path / "part"
    found = losses(train(corpora, part, 2, *SHORT, DATASETS))
    alone = losses(train(corpora, tmp_path / "alone", 2, *SHORT, f"data.corpus={few}"))
    assert found == alone
    assert audit(part) == planned(corpora, part, 6 * 16, 2, DATASETS)
    assert {entry["dataset"] for entry in audit(part)} == set(CHOSEN)

    # Other datasets are another order, which a user must ask for
    output = fail(corpora, part, 1, "max_steps=9")
    assert "data.datasets was ['foxglove', 'meander'], now None" in output
    train(corpora, part, 1, "max_steps=9", "resume.allow=[corpus]")
    assert {entry["dataset"] for entry in audit(part)} > set(CHOSEN)
    assert metrics(part)[-1]["step"] == 9

    checkpoint = newest(tmp_path / "alone")
    assert checkpoint
    summary = read_progress(checkpoint).state["corpus_summary"]
    assert [dataset["name"] for dataset in summary["datasets"]] == [*CHOSEN]
    assert {dataset["licence"] for dataset in summary["datasets"]} == {"CC0-1.0"}

    capsys.readouterr()
    assert main(["export", str(tmp_path / "alone"), str(tmp_path / "exported")]) == 0
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "| foxglove | general_surgery | CC0-1.0 |" in card
    assert str(tmp_path) not in card + (tmp_path / "exported" / "recipe.yaml").read_text()
