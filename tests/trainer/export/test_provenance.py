"""What an export tells of its run: code, corpus and licences, and no place, no command and no site."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.launch.__main__ import main
from surgstream.trainer.export.card import Told, card
from surgstream.trainer.export.folder.forms import form_for
from surgstream.trainer.export.source import TrainedEncoder, read_source
from surgstream.trainer.lineage.ancestry import Ancestry, Foreign, corpus_of
from surgstream.trainer.provenance.for_others import told_to_others
from surgstream.trainer.provenance.record import empty, with_start
from tests.helpers.ranks import process_group
from tests.trainer.export.saved import CONFIGS, Saved, save

SETUP = {
    "code": {"version": "0.1.0", "commit": "c" * 40, "changed": True, "sha256": "d" * 64},
    "recipe": {"sha256": "e" * 64},
    "seed": 0,
    "corpus": {
        "address": "s3://hospital/secretplace",
        "manifest": "f" * 64,
        "hours": 12.5,
        "datasets": [{"name": "knee", "licence": "CC-BY-4.0", "videos": 4, "hours": 12.5}],
    },
    "weights": {"start": {"name": "/home/somebody/vit.pth", "sha256": "1" * 64}},
    "descends_from": {"corpora": [], "weights": [{"name": "s3://hospital/other.pth"}]},
    "site": {"name": "secretsite", "launcher": "srun", "cluster": "secretcluster"},
    "versions": {"torch": "2.13.0"},
    "command": ["surgstream", "pretrain", "/home/somebody/secret.yaml"],
    "later": "a part that nobody has thought about",
}
RECORD = with_start(empty(), SETUP, {"time": "2026-05-01T00:00:00Z", "step": 0})
HIDDEN = ("secret", "somebody", "s3://", "surgstream pretrain", "nobody has thought")


@pytest.fixture(scope="module")
def source(saved: Saved) -> TrainedEncoder:
    return replace(read_source(saved["videomae"][0], averaged=True), provenance=RECORD)


def page(source: TrainedEncoder) -> str:
    form = form_for("surgstream", source.recipe.objective)
    return card(source.record("surgstream"), source, form, Told())


def test_others_are_told_what_was_made_of_what_and_not_where() -> None:
    told = told_to_others(RECORD)
    text = json.dumps(told)
    assert not [word for word in HIDDEN if word in text]
    (setup,) = told["setups"]
    assert setup["weights"]["start"] == {"name": "vit.pth", "sha256": "1" * 64}
    assert setup["descends_from"]["weights"] == [{"name": "other.pth"}]
    assert setup["corpus"]["manifest"] == "f" * 64 and setup["code"] == SETUP["code"]
    assert told_to_others(told) == told, "twice is once"


TREES = st.recursive(
    st.none() | st.integers() | st.sampled_from(["/home/x", "s3://b/k"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "address", "x"]), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from([*SETUP]), TREES))
def test_whatever_a_state_says_names_are_no_paths(setup: dict[str, Any]) -> None:
    told = told_to_others(with_start(empty(), setup, {"step": 0}))["setups"][0]
    assert '"name": "/' not in json.dumps(told) and '"name": "s3:' not in json.dumps(told)
    assert not {"site", "command", "later"} & told.keys()


def test_the_card_names_code_and_corpus(source: TrainedEncoder) -> None:
    text = page(source)
    assert f"surgstream 0.1.0, commit {'c' * 40}, with changes, files {'d' * 64}" in text
    assert f"SHA-256 of its manifest, {'f' * 64}" in text
    assert not [word for word in HIDDEN if word in text]


def test_the_card_names_licences_of_what_was_seen_before(source: TrainedEncoder) -> None:
    def seen(manifest: str, **licences: str | None) -> Any:
        videos = {name: ["patient7"] for name in licences}
        return corpus_of(
            manifest * 64, videos, address="/secret", fps=1.0, pseudonyms=False, licences=licences
        )

    corpora = (seen("a", hip="CC-BY-NC-4.0", eye=None), seen("f", knee="CC-BY-4.0"))
    ancestry = Ancestry(corpora=corpora, foreign=(Foreign(name="/secret/x.pth"),))
    text = page(replace(source, ancestry=ancestry))
    assert "had seen before: eye (licence not told), hip (CC-BY-NC-4.0)." in text
    assert "weights of others" in text and "patient7" not in text and "secret" not in text


def test_a_checkpoint_that_does_not_tell_says_so(source: TrainedEncoder) -> None:
    text = page(replace(source, provenance=empty()))
    assert (
        "| code | the checkpoint does not tell |" in text and "SHA-256 of its manifest" not in text
    )


@pytest.mark.slow
def test_an_export_has_it_beside_its_weights(tmp_path: Path) -> None:
    with process_group():
        checkpoint, _ = save(CONFIGS["videomae"], tmp_path, provenance=RECORD)
    assert main(["export", str(checkpoint), str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "provenance.json").read_text()) == told_to_others(RECORD)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert b"secret" not in everything and b"somebody" not in everything
