"""A damaged `provenance.json`: a run reads of it what it can, writes a whole one, and does not fail."""

import json
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.lineage.ancestry import NOTHING
from surgstream.trainer.provenance.keeping import Ingredients, keep_provenance
from surgstream.trainer.provenance.record import KEY, empty, is_record, to_bytes, with_start
from tests.fuzz.damage import altered, cases, damaged

SETUP = {"code": {"version": "0.1.0"}, "weights": {"start": {"name": "x.pth", "sha256": "0" * 64}}}
RECORD = with_start(empty(), SETUP, {"time": "2026-05-01T00:00:00Z", "step": 4})


@dataclass(frozen=True)
class Recipe:
    """As little as a run has."""

    run_dir: str
    seed: int = 0


@given(
    content=altered(RECORD).map(json.dumps).map(str.encode) | damaged(to_bytes(RECORD)),
    state=st.just(RECORD) | altered(RECORD),
)
@cases(100)
def test_records_of_runs(tmp_path: Path, content: bytes, state: object) -> None:
    (tmp_path / "provenance.json").write_bytes(content)
    corpus = open_storage(str(tmp_path / "nowhere"))
    made_of = Ingredients(
        corpus=corpus, datasets=["d"], weights={"start": "x.pth"}, ancestry=NOTHING
    )
    progress = Progress(step=8, clips_seen=16, state={KEY: state})

    record = keep_provenance(Recipe(str(tmp_path)), progress, made_of)
    assert is_record(record) and record["setups"][-1]["corpus"] == "unknown"
    assert (tmp_path / "provenance.json").read_bytes() == to_bytes(record)
