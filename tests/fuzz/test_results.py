"""Whatever stands in a result.json: an error that names it, or a section of a card whose front matter can be read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.export.evaluation import evaluation, front_matter
from surgstream.trainer.export.folder.record import ExportRecord
from surgstream.trainer.export.results import read_results
from surgstream.trainer.export.source import read_source
from tests.fuzz.damage import altered, cases, damaged
from tests.helpers.ranks import process_group
from tests.trainer.export.saved import CONFIGS, save
from tests.trainer.export.test_card import OURS, RANDOM, write


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> ExportRecord:
    with process_group():
        checkpoint, _ = save(CONFIGS["videomae"], tmp_path_factory.mktemp("saved"))
    return read_source(checkpoint, averaged=True).record("surgstream")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree: dict[str, Any] = json.loads(
        write(tmp_path_factory.mktemp("result"), OURS, RANDOM).read_bytes()
    )
    return json.dumps(tree).encode()


@given(st.data())
@cases(300)
def test_results(tmp_path: Path, record: ExportRecord, whole: bytes, data: st.DataObject) -> None:
    path = tmp_path / "result.json"
    forged = altered(json.loads(whole)).map(json.dumps).map(str.encode)
    path.write_bytes(data.draw(forged | damaged(whole)))
    try:
        results = read_results([("", path)])
    except EvaluationError as error:
        assert "result.json" in str(error) and len(str(error)) < 3000
        return

    lines = [line for line in evaluation(results, "0").splitlines() if line.startswith("|")]
    assert [line.replace("\\|", "").count("|") for line in lines] == [11] * 3
    tree = yaml.safe_load(front_matter(record, None, results).strip("-\n"))
    assert tree["license"] == "unknown"
