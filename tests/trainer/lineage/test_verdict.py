"""Marks of what was found, of one model and of its seeds, and what strangers' predictions tell."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.trainer.lineage.verdict import (
    LEAKS,
    Sighting,
    Verdict,
    from_json,
    to_json,
    together,
    told_by,
)

VIDEOS = ("t1", "t2", "t3")
SIGHTINGS = st.builds(
    lambda video, way: Sighting(video=video, way=way, seen="somewhere"),
    st.sampled_from(["t1", "t2", "v1"]),
    st.sampled_from(["name", "alias", "motion"]),
)
VERDICTS = st.builds(
    lambda found, unknown, by, all_pictures: Verdict(
        splits=("val", "test"),
        found=tuple(found),
        unknown=tuple(unknown),
        by=tuple(by),
        all_pictures=all_pictures,
    ),
    st.lists(SIGHTINGS, max_size=4, unique=True),
    st.lists(st.sampled_from(["who knows", "nobody"]), max_size=2, unique=True),
    st.lists(st.sampled_from(["names", "pictures", "publications"]), unique=True, max_size=3),
    st.booleans(),
)


@given(VERDICTS)
def test_what_is_stored_is_read_back(verdict: Verdict) -> None:
    about = json.loads(json.dumps({LEAKS: to_json(verdict)}))
    assert told_by(about) == from_json(about[LEAKS], "x") == verdict


@given(VERDICTS)
def test_a_mark_is_of_the_videos_that_are_asked_for(verdict: Verdict) -> None:
    mark = verdict.on("test", VIDEOS)
    seen = {each.video for each in verdict.found}
    assert {*mark.videos} == seen & {*VIDEOS}
    if mark.videos:
        assert mark.mark == "contaminated"
        assert mark.says == f"contaminated {len(mark.videos)} of 3"
    else:
        assert mark.mark == ("unknown" if verdict.unknown else "clean")
    assert mark.mark in mark.says
    assert all(any(video in sentence for sentence in mark.how) for video in mark.videos)

    other = verdict.on("train", ("a1",))
    assert other.mark == "unknown" and "train split were not looked for" in other.how[-1]


@given(VERDICTS, VERDICTS)
def test_seeds_together_have_seen_what_any_of_them_has(one: Verdict, other: Verdict) -> None:
    both = together([one, other]).on("test", VIDEOS)
    alone = [each.on("test", VIDEOS) for each in (one, other)]
    assert {*both.videos} == {video for mark in alone for video in mark.videos}
    marks = {mark.mark for mark in alone}
    assert both.mark in marks and ("contaminated" in marks) == (both.mark == "contaminated")
    if both.says == "clean":
        assert {mark.says for mark in alone} == {"clean"}
    assert together([one]) == one


@pytest.mark.parametrize(
    ("by", "all_pictures", "says"),
    [
        ((), True, "clean"),
        (("names", "pictures"), True, "clean"),
        (("names",), False, "clean by names only"),
        (("names", "pictures"), False, "clean by names only"),
        (("publications",), True, "clean by what is published"),
        (("publications", "names", "pictures"), False, "clean by what is published"),
    ],
)
def test_clean_says_what_it_rests_on(by: Any, all_pictures: bool, says: str) -> None:
    verdict = Verdict(splits=("test",), by=by, all_pictures=all_pictures)
    assert verdict.on("test", VIDEOS).says == says


@pytest.mark.parametrize(
    "about",
    [
        None,
        [],
        {},
        {"weights": "w"},
        {LEAKS: None},
        {LEAKS: []},
        {LEAKS: {"splits": 3}},
        {LEAKS: {}},
    ],
)
def test_who_tells_nothing_or_nonsense_is_unknown(about: Any) -> None:
    for split in ("train", "val", "test"):
        mark = told_by(about).on(split, VIDEOS)
        assert mark.mark == "unknown" and mark.how[0].startswith("its predictions")
    with pytest.raises(ConfigError, match="a place"):
        from_json(3, "a place")
