"""What some videos share with others: as a comparison of all finds it, and nothing among themselves."""

from pathlib import Path

import pytest

from surgstream.shards.format.manifest import Manifest
from surgstream.shards.leaks.between import shared_between
from surgstream.shards.leaks.comparing import compare
from surgstream.shards.leaks.findings import Compared
from surgstream.shards.leaks.some_videos import SomeVideos
from surgstream.shards.storage.stores import open_storage
from tests.trainer.lineage.films import cropped, write

ONE = {"hip": {"a": 1, "b": 2, "again": 1}}
OTHER = {"knee": {"c": 3, "copy": 2, "d": 3}}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two corpora that share a film, each with a film that it has twice; and both in one."""
    folder = tmp_path_factory.mktemp("between")
    return [
        write(folder / "one", ONE),
        write(folder / "other", OTHER, alter=cropped),
        write(folder / "both", ONE | OTHER, alter=cropped),
    ]


def some(place: str, *ids: str) -> SomeVideos:
    manifest = Manifest.load(open_storage(place))
    return SomeVideos.of(place, manifest, lambda _, id: not ids or id in ids)


def pairs(compared: Compared | None) -> list[tuple[str, str, str]]:
    assert compared
    return [(each.kind, each.first.video, each.second.video) for each in compared.findings]


def test_videos_of_two_corpora(places: list[str]) -> None:
    one, other, _ = places
    found = shared_between(some(one), some(other), workers=1)
    assert pairs(found) == [("held_out", "copy", "b")]
    assert found and (found.findings[0].first.corpus, found.findings[0].second.corpus) == (
        other,
        one,
    )

    everything = compare({uri: Manifest.load(open_storage(uri)) for uri in (one, other)}, workers=1)
    held_out = [each for each in everything.findings if each.kind == "held_out"]
    assert [(each.first.video, each.second.video) for each in held_out] == [("b", "copy")]
    assert held_out[0].score == pytest.approx(found.findings[0].score, abs=0.05)


def test_videos_of_one_corpus(places: list[str]) -> None:
    both = places[2]
    asked, trained = some(both, "a", "b"), some(both, "again", "c", "copy", "d")
    assert sorted(pairs(shared_between(asked, trained, workers=1))) == [
        ("held_out", "again", "a"),
        ("held_out", "copy", "b"),
    ]
    # A video that is on both sides is asked about, and no copy of itself
    assert pairs(shared_between(asked, some(both), workers=1)) == pairs(
        shared_between(asked, trained, workers=1)
    )


def test_processes_of_their_own_find_the_same(places: list[str]) -> None:
    one, other, _ = places
    alone = shared_between(some(one), some(other), workers=1)
    assert shared_between(some(one), some(other), workers=2) == alone


def test_of_no_videos_nothing_is_said(places: list[str]) -> None:
    one, other, _ = places
    assert shared_between(some(one, "none"), some(other), workers=1) is None
    assert shared_between(some(one), some(other, "none"), workers=1) is None
    assert shared_between(some(one), some(one), workers=1) is None


def test_some_videos_are_those_that_are_meant(places: list[str]) -> None:
    both = some(places[2], "a", "d")
    assert both.names == {("hip", "a"), ("knee", "d")} and both.num_frames == 120


def test_what_cannot_be_compared_is_told_of_those_that_are_asked_about(tmp_path: Path) -> None:
    dark = write(tmp_path / "dark", ONE, alter=lambda film: film // 25)
    light = write(tmp_path / "light", OTHER)
    found = shared_between(some(dark), some(light), workers=1)
    assert found and {each.video for each in found.not_compared} == {*ONE["hip"]}
    turned = shared_between(some(light), some(dark), workers=1)
    assert turned and not turned.not_compared
