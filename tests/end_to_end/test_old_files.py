"""A corpus and a run that were written before keys were renamed are read, and go on, as before."""

import json
import shutil
from pathlib import Path

import pytest

from surgstream.launch.__main__ import main
from surgstream.shards.corpus.file import stored_options
from surgstream.shards.order.sequence import Order
from surgstream.shards.packing.plan import PackingPlan
from surgstream.shards.packing.shard import Receipt
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.checkpoint_files import read_progress
from tests.end_to_end.runs import audit, log, metrics
from tests.helpers.ranks import finish, start

OLD = Path("tests/data/before_rooms")
NUM_CLIPS = {"foxglove": 15, "meander": 31, "speedwell": 22}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the old run, with the recipe that its job was submitted with."""
    folder = tmp_path / "run"
    shutil.copytree(OLD / "run", folder)
    recipe = (folder / "config.yaml").read_text()
    (folder / "recipe.yaml").write_text(recipe.replace("/corpora/run", str(folder)))
    return folder


def test_an_old_corpus_is_read_as_before(tmp_path: Path) -> None:
    assert main(["inspect", str(OLD / "shards"), "--report", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert "Dropped is black, uniform, out_of_body." in page

    table = FrameTable.open(open_storage(str(OLD / "shards")))
    assert {size.name: size.num_clips for size in table.sizes()} == NUM_CLIPS


def test_an_old_corpus_is_whole_and_packed_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(OLD / "shards")]) == 0
    assert "damaged" not in capsys.readouterr().out

    storage = open_storage(str(OLD / "shards"))
    plan = PackingPlan.load(storage)
    assert plan and plan.options.drop == ("black", "uniform", "out_of_body")
    receipts = [Receipt.load(storage, shard, plan.options) for shard in plan.shards]
    assert len(receipts) == 3 and all(receipts)
    assert stored_options(plan.options)["drop"] == ["black", "blank", "outside"]


def test_an_old_state_of_the_order_is_written_back_as_it_was() -> None:
    saved = json.loads((OLD / "run/checkpoints/step_00000008/state.json").read_text())["order"]
    assert Order.from_json(saved).to_json() == saved


def test_an_old_run_is_exported(run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), str(tmp_path / "out"), "--layout", "surgstream"]) == 0


def test_an_old_run_goes_on_as_it_did(run: Path) -> None:
    """The same clips and the same losses, but for the last digits, which kernels of another CPU change."""
    expected = json.loads((OLD / "expected.json").read_text())
    words = ["pretrain", str(run / "recipe.yaml"), f"data.corpus={OLD / 'shards'}"]
    assert finish(start(words, 1, run.with_suffix(".log"))) == [0], log(run)

    assert audit(run) == expected["audit"]
    reported = metrics(run)
    assert [line["step"] for line in reported] == [9, 10, 11, 12]
    for line, before in zip(reported, expected["metrics"], strict=True):
        assert {key: line[key] for key in before} == pytest.approx(before, rel=1e-4)
    assert read_progress(run / "checkpoints/step_00000012").clips_seen == 96
