"""Whatever a state, an export, predictions or a kept outcome say of leaks: read as it is, or refused in words."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.engine.checkpoint_files import STATE, state_bytes
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.lineage.ancestry import Ancestry, Foreign, corpus_of, to_json
from surgstream.trainer.lineage.judging import judge
from surgstream.trainer.lineage.outcomes import Outcome, SeenStretch, keep_outcome, kept_outcome
from surgstream.trainer.lineage.reading import ANCESTRY, ANCESTRY_FILE, ancestry_of
from surgstream.trainer.lineage.verdict import LEAKS, Sighting, Verdict, told_by
from surgstream.trainer.lineage.verdict import to_json as verdict_to_json
from tests.fuzz.damage import altered, cases, damaged, values
from tests.trainer.lineage.films import task

ANCESTORS = Ancestry(
    corpora=(
        corpus_of("0" * 64, {"hip": ["t1", "x"]}, address="nowhere", fps=1.0, pseudonyms=False),
    ),
    foreign=(Foreign(name="weights.pth", sha256="1" * 64, known_as="videomae"),),
)
OUTCOME = Outcome(key="2" * 64, found=(SeenStretch(video="t1", way="motion", seen="there"),))
VERDICT = Verdict(
    splits=("val", "test"), found=(Sighting(video="t1", way="name", seen="there"),), by=("names",)
)


def check(ancestry: Ancestry) -> None:
    """What was read is of the right types, so that names can be asked for."""
    clean = Ancestry(corpora=ancestry.corpora)
    found = judge(clean, task(), corpus=None)
    assert found.on("test", ("t1", "t2")).mark in ("clean", "contaminated", "unknown")


@given(st.data())
@cases(200)
def test_states(tmp_path: Path, data: st.DataObject) -> None:
    state = {
        "step": 7,
        "g": 28,
        "files": {},
        "manifest": "0" * 64,
        "config": {"task": None, "data": {"corpus": "nowhere"}},
        ANCESTRY: to_json(ANCESTORS),
    }
    tree = data.draw(altered(state) | values.map(lambda value: state | {ANCESTRY: value}))
    try:
        (tmp_path / STATE).write_bytes(state_bytes(tree))
    except (TypeError, ValueError):
        return
    try:
        check(ancestry_of(str(tmp_path)))
    except CheckpointError as error:
        assert str(tmp_path) in str(error)


@given(st.data())
@cases(150)
def test_exports(tmp_path: Path, data: st.DataObject) -> None:
    text = json.dumps(to_json(ANCESTORS)).encode()
    tree = altered(to_json(ANCESTORS)) | values
    content = data.draw(damaged(text) | tree.map(lambda tree: json.dumps(tree).encode()))
    (tmp_path / ANCESTRY_FILE).write_bytes(content)
    try:
        check(ancestry_of(str(tmp_path)))
    except ModelError as error:
        assert ANCESTRY_FILE in str(error)


@given(st.data())
@cases(150)
def test_what_is_stored_with_predictions(data: st.DataObject) -> None:
    about = {LEAKS: verdict_to_json(VERDICT)}
    found = told_by(data.draw(altered(about) | values | values.map(lambda value: {LEAKS: value})))
    assert found.on("test", ("t1", "t2")).mark in ("clean", "contaminated", "unknown")


@given(st.data())
@cases(150)
def test_outcomes(tmp_path: Path, data: st.DataObject) -> None:
    keep_outcome(tmp_path, OUTCOME)
    (path,) = tmp_path.glob("leaks_*")
    content = data.draw(damaged(path.read_bytes()))
    path.write_bytes(content)
    found = kept_outcome(tmp_path, OUTCOME.key)
    assert found is None or found.key == OUTCOME.key
    path.unlink()
