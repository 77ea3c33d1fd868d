"""`commercial: true`: weights whose licences do not allow commercial use are refused, by name, before training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.lineage.ancestry import (
    NOTHING,
    Ancestry,
    Corpus,
    Foreign,
    corpus_of,
    for_others,
    from_json,
    merged,
    to_json,
)
from surgstream.trainer.lineage.config import CommercialConfig
from surgstream.trainer.lineage.licences import commercial_problem, refuse_noncommercial
from surgstream.trainer.lineage.recording import shown_corpus
from tests.helpers.commands import pack
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video

REQUIRED = CommercialConfig(required=True)

LICENCES = st.sampled_from(["CC-BY-4.0", "CC0-1.0", "CC-BY-NC-4.0", "on request", None])


def corpus(manifest: str = "1", **licences: str | None) -> Corpus:
    return corpus_of(
        manifest * 64,
        {dataset: ["a"] for dataset in licences},
        address="/corpus",
        fps=None,
        pseudonyms=False,
        licences=licences,
    )


@given(st.dictionaries(st.sampled_from("abcd"), LICENCES, min_size=1))
def test_all_must_allow_it_and_those_that_do_not_are_named(licences: dict[str, str | None]) -> None:
    problem = commercial_problem(Ancestry(corpora=(corpus(**licences),)), REQUIRED)
    bad = {name for name, licence in licences.items() if licence not in ("CC-BY-4.0", "CC0-1.0")}
    assert bool(problem) == bool(bad)
    for name, licence in licences.items():
        assert (f"{name} of /corpus" in problem) == (name in bad)
        assert name not in bad or (licence or "licence is not told") in problem


def test_it_is_asked_for_only_where_it_is_required() -> None:
    ancestry = Ancestry(corpora=(corpus(d="CC-BY-NC-4.0"),), foreign=(Foreign(name="timm:vit"),))
    assert commercial_problem(ancestry, CommercialConfig()) == ""
    assert commercial_problem(NOTHING, REQUIRED) == ""
    with pytest.raises(ConfigError, match=r"d of /corpus.*CC-BY-NC-4\.0 forbids it.*timm:vit"):
        refuse_noncommercial(ancestry, REQUIRED)


def test_what_is_stated_fills_gaps_and_overrules_nothing() -> None:
    ancestry = Ancestry(
        corpora=(corpus(told="CC-BY-NC-4.0", untold=None),),
        foreign=(Foreign(name="vit.pth"), Foreign(name="the teacher dino.pth")),
    )
    stated = dict.fromkeys(["told", "untold", "vit.pth", "dino.pth"], "Apache-2.0")
    problem = commercial_problem(ancestry, CommercialConfig(required=True, stated=stated))
    assert "told of /corpus" in problem and "untold" not in problem and "the weights" not in problem

    stated["dino.pth"] = "CC-BY-NC-4.0"
    problem = commercial_problem(ancestry, CommercialConfig(required=True, stated=stated))
    assert "the weights dino.pth, whose licence CC-BY-NC-4.0 forbids it" in problem


def test_weights_of_before_tell_no_licences_and_are_refused_unless_their_corpus_is_known() -> None:
    before = replace(corpus(d="CC-BY-4.0"), licences=())
    assert "d of /corpus" in commercial_problem(Ancestry(corpora=(before,)), REQUIRED)
    again = merged([Ancestry(corpora=(before,)), Ancestry(corpora=(corpus(d="CC-BY-4.0"),))])
    assert commercial_problem(again, REQUIRED) == ""
    other = Ancestry(corpora=(before, corpus("2", d="CC-BY-4.0")))
    assert "d of /corpus" in commercial_problem(other, REQUIRED)

    silent = replace(before, shown=(), names="absent")
    assert "tells none of its datasets" in commercial_problem(Ancestry(corpora=(silent,)), REQUIRED)


def test_others_are_told_the_licences() -> None:
    told = for_others(Ancestry(corpora=(corpus(d="CC-BY-4.0", e=None),)))
    assert from_json(json.loads(json.dumps(to_json(told))), "x") == told
    assert told.corpora[0].licences == corpus(d="CC-BY-4.0", e=None).licences


def test_licences_are_those_of_the_samples(tmp_path: Path) -> None:
    for name in "abc":
        make_video(tmp_path / name / "v.mp4", 30)
    described = write_corpus(
        tmp_path,
        {"name": "a", "videos": "a/*", "licence": "CC-BY-4.0"},
        {"name": "b", "videos": "b/*"},
        {"name": "c", "videos": "c/*", "licence": "CC-BY-NC-4.0"},
    )
    out = tmp_path / "out"
    assert pack([described, str(out), "short_side=32", "workers=1"]) == 0
    storage = open_storage(str(out))
    assert len(Manifest.load(storage).shards) == 3

    shown = shown_corpus(storage, fps=None, videos={"a": None, "b": None})
    assert {each.dataset: each.licence for each in shown.licences} == {"a": "CC-BY-4.0", "b": None}
    problem = commercial_problem(Ancestry(corpora=(shown,)), REQUIRED)
    assert "b of" in problem and "a of" not in problem and "c of" not in problem
