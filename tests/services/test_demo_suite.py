"""The demo suite with few steps and one seed: six kinds of tasks, two encoders, and its page in a real browser."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from surgstream.launch.__main__ import main
from tests.end_to_end.conftest import Corpora
from tests.services.test_evaluation_page import asked

SUITE = Path("configs/evaluate/suites/demo.yaml")
FEW = ["epochs=1", "clips_per_epoch=16", "validate_every_epochs=1"]


def surgstream(*words: str) -> str:
    command = [sys.executable, "-m", "surgstream", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def out(corpora: Corpora, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the suite, once all is done."""
    root = tmp_path_factory.mktemp("suite")
    operations = [
        "--datasets",
        "larkspur,teasel,yarrow",
        "--times",
        "8",
        "--seconds",
        "2",
        "--seed",
        "1",
    ]
    assert main(["synth", str(root / "videos"), *operations]) == 0
    words = ["fps=5", "short_side=64", "workers=2"]
    assert main(["pack", str(root / "videos/evaluate.yaml"), str(root / "shards"), *words]) == 0

    run = root / "run"
    few = ["max_steps=2", "checkpoint.every_steps=1", "held_out=null"]
    surgstream("pretrain", "surgvista_tiny", f"run_dir={run}", f"data.corpus={corpora.train}", *few)

    suite = yaml.safe_load(SUITE.read_text())
    for part in suite["parts"]:
        part["set"] = [*part.get("set", []), *FEW]
    (root / "demo.yaml").write_text(yaml.safe_dump(suite | {"yardsticks": [], "seeds": [0]}))

    weights = [f"weights={name}={run}/checkpoints/step_{name:08d}" for name in (1, 2)]
    places = [f"--corpus={root / 'shards'}", f"--labels={root / 'videos'}", f"--out={root / 'out'}"]
    surgstream("suite", str(root / "demo.yaml"), *weights, *places)
    return root / "out"


def test_every_cell_is_done_and_every_line_has_values(out: Path) -> None:
    records = [json.loads(path.read_text()) for path in out.glob("cells/*/cell.json")]
    assert [record["state"] for record in records] == ["done"] * 6 * 2

    results = [json.loads(path.read_text()) for path in out.glob("results/*.json")]
    assert len(results) == 6
    for result in results:
        models = [row for row in result["rows"] if row["kind"] == "model"]
        assert [row["name"] for row in models] == ["1", "2"]
        assert all(result["main"] in row["values"] for row in models)


def test_the_page_fits_and_shows_all_that_was_predicted(out: Path, tmp_path: Path) -> None:
    page = (out / "report.html").read_text()
    assert asked(page, "document.documentElement.scrollWidth - innerWidth", tmp_path) == 0

    count = "document.querySelectorAll('{}').length"
    assert asked(page, count.format("h2[id]"), tmp_path) == 6
    assert asked(page, count.format(".ribbons svg"), tmp_path)
    # Of masks and of depth: the frame or truth, and both encoders
    lines = asked(page, count.format(".pictures"), tmp_path)
    assert isinstance(lines, int) and 6 <= lines <= 12
    drawn = "[...document.images].every(image => image.naturalWidth > 0)"
    assert asked(page, drawn, tmp_path) is True
