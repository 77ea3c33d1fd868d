"""What some videos share with others: as a comparison of all finds it, and nothing among themselves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from surgstream.shards.format.manifest import Manifest
from surgstream.shards.inspection.packed_frames import Placed
from surgstream.shards.leaks import looking
from surgstream.shards.leaks.between import shared_between
from surgstream.shards.leaks.comparing import compare
from surgstream.shards.leaks.findings import Compared
from surgstream.shards.leaks.kept import key_of
from surgstream.shards.leaks.read import VideoFingerprints, fingerprint_video
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


def test_shards_that_were_looked_at_are_not_read_again(
    places: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, _ = places
    looked: list[str] = []

    def counting(storage: Any, placed: Placed, *args: Any) -> VideoFingerprints:
        looked.append(placed.video.id)
        return fingerprint_video(storage, placed, *args)

    monkeypatch.setattr(looking, "fingerprint_video", counting)
    kept = tmp_path / "kept"

    def compared(asked: SomeVideos) -> tuple[Compared | None, list[str]]:
        looked.clear()
        return shared_between(asked, some(other), workers=1, kept=kept), sorted(looked)

    expected = shared_between(some(one), some(other), workers=1)
    assert compared(some(one)) == (expected, ["a", "again", "b", "c", "copy", "d"])
    assert compared(some(one)) == (expected, [])
    # Other questions about the same shards
    _, again = compared(some(one, "b"))
    assert again == []

    # Whatever happens to the files, they cost a look at most
    for damage in (b"", b"x" * 100, None):
        for path in kept.iterdir():
            content = path.read_bytes()
            path.write_bytes(content[:-1] + b"\0\1" if damage is None else damage)
        assert compared(some(one)) == (expected, ["a", "again", "b", "c", "copy", "d"])

    # One shard's prints are not another's
    first, second, *_ = sorted(kept.iterdir())
    first.write_bytes(second.read_bytes())
    assert compared(some(one))[0] == expected


def test_prints_that_cannot_be_kept_cost_nothing(places: list[str], tmp_path: Path) -> None:
    one, other, _ = places
    (tmp_path / "file").write_text("")
    found = shared_between(some(one), some(other), workers=1, kept=tmp_path / "file" / "kept")
    assert found == shared_between(some(one), some(other), workers=1)


def test_prints_of_other_processes_are_kept_as_well(places: list[str], tmp_path: Path) -> None:
    one, other, _ = places
    found = shared_between(some(one), some(other), workers=2, kept=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 6, "one a shard"
    assert shared_between(some(one), some(other), workers=1, kept=tmp_path) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_prints_are_of_some_frames_at_some_rate(places: list[str]) -> None:
    shard = some(places[0]).manifest.shards[0]
    others = [
        replace(shard, sha256="0" * 64),
        replace(shard, index_sha256="0" * 64),
        replace(shard, videos=()),
        replace(shard, videos=(replace(shard.videos[0], fps=2.0),)),
    ]
    keys = [key_of(each, 1.0) for each in (shard, *others)] + [key_of(shard, 2.0)]
    assert len({*keys}) == len(keys) and key_of(shard, 1.0) == keys[0]
