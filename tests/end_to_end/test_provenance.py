"""What a run leaves of its provenance: in its directory, through resumes and a SIGKILL, and in its checkpoints."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.checkpoint_files import read_state
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import begin, log, newest, train
from tests.helpers.ranks import kill, wait_for


def provenance(folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((folder / "provenance.json").read_text())
    return tree


@pytest.fixture(scope="module")
def killed(corpora: Corpora, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed once it had saved, was killed again, and then went on to another last step."""
    run_dir = tmp_path_factory.mktemp("provenance") / "run"
    for _ in range(2):
        before = newest(run_dir)
        ranks = begin(corpora, run_dir, 1, "max_steps=5000")
        wait_for(lambda before=before: newest(run_dir) != before)  # type: ignore[misc]
        kill(ranks)

    found = newest(run_dir)
    assert found
    train(corpora, run_dir, 1, f"max_steps={int(found.name[-8:]) + 2}")
    return run_dir


def test_a_run_tells_what_it_was_made_of(killed: Path, corpora: Corpora) -> None:
    record = provenance(killed)
    first, last = record["setups"]
    assert first["starts"]["count"] == 2 and last["starts"]["count"] == 1
    assert first["starts"]["first"]["step"] == 0 < first["starts"]["last"]["step"]
    assert last["starts"]["first"]["step"] >= first["starts"]["last"]["step"]
    assert {name for name in first if first[name] != last[name]} == {"recipe", "starts"}

    recipe = hashlib.sha256((killed / "config.yaml").read_bytes()).hexdigest()
    assert last["recipe"] == {"sha256": recipe}
    corpus = last["corpus"]
    assert corpus["address"] == str(corpora.train)
    manifest = ManifestFile.load(open_storage(str(corpora.train)))
    assert corpus["manifest"] == manifest.sha256
    seconds = [video.num_frames / video.fps for each in manifest.shards() for video in each.videos]
    assert corpus["hours"] == pytest.approx(sum(seconds) / 3600, abs=1e-3)
    assert {each["licence"] for each in corpus["datasets"]} == {"CC0-1.0"}
    assert last["weights"] == {"start": {"name": "random"}, "teacher": {"name": "random"}}
    assert last["seed"] == 0 and len(last["code"]["sha256"]) == 64


def test_it_has_no_null_and_no_name_of_a_video(killed: Path, corpora: Corpora) -> None:
    text = (killed / "provenance.json").read_text()
    assert "null" not in text
    manifest = ManifestFile.load(open_storage(str(corpora.train)))
    for video in (video for shard in manifest.shards() for video in shard.videos):
        assert f'"{video.id}"' not in text and video.source not in text


def test_checkpoints_carry_it(killed: Path) -> None:
    checkpoint = newest(killed)
    assert checkpoint and read_state(checkpoint)["provenance"] == provenance(killed)


def test_a_damaged_record_is_that_of_the_checkpoint_again_and_costs_no_run(
    killed: Path, corpora: Corpora
) -> None:
    before = provenance(killed)
    (killed / "provenance.json").write_bytes(b"\xff{")
    found = newest(killed)
    assert found
    train(corpora, killed, 1, f"max_steps={int(found.name[-8:]) + 2}")
    setups = provenance(killed)["setups"]
    assert setups[:2] == before["setups"] and len(setups) == 3


def test_a_run_does_not_fail_for_its_papers(corpora: Corpora, tmp_path: Path) -> None:
    (tmp_path / "run" / "provenance.json").mkdir(parents=True)
    train(corpora, tmp_path / "run", 1, "max_steps=1")
    assert "provenance.json: cannot be written" in log(tmp_path / "run")


def test_weights_are_told_by_name_and_digest(
    killed: Path, corpora: Corpora, tmp_path: Path
) -> None:
    checkpoint = newest(killed)
    assert checkpoint
    start = ("warm_start.moments=false", f"warm_start.weights={checkpoint}", "max_steps=1")
    train(corpora, tmp_path / "next", 1, *start)
    (setup,) = provenance(tmp_path / "next")["setups"]
    state = hashlib.sha256((checkpoint / "state.json").read_bytes()).hexdigest()
    assert setup["weights"]["start"] == {"name": str(checkpoint), "sha256": state}
    assert [each["manifest"] for each in setup["descends_from"]["corpora"]] == [
        setup["corpus"]["manifest"]
    ]
