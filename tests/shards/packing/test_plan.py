"""Plans: which video goes into which shard, now and later."""

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.corpus.sources import find_sources
from surgstream.shards.errors import ManifestError
from surgstream.shards.packing.plan import PackingPlan, earlier_plan, make_plan
from surgstream.shards.packing.probe import BYTES_PER_PIXEL
from surgstream.shards.storage.stores import Storage, Stores, open_storage
from tests.helpers.videos import HEIGHT, WIDTH, make_video

SECOND_BYTES = WIDTH * HEIGHT * BYTES_PER_PIXEL


def corpus(
    *, seconds_a_shard: float = 1000, hold_out: tuple[str, ...] = (), **options: object
) -> CorpusConfig:
    dataset = {
        "name": "d",
        "specialty": "s",
        "procedure": "p",
        "videos": "*.mp4",
        "hold_out": list(hold_out),
    }
    pack = {"shard_bytes": round(seconds_a_shard * SECOND_BYTES), **options}
    return build(CorpusConfig, {"datasets": [dataset], "pack": pack}, where="corpus.yaml")


def layout(plan: PackingPlan) -> dict[str, list[str]]:
    return {
        shard.name[-len("000.tar") : -len(".tar")]: [video.id for video in shard.videos]
        for shard in plan.shards
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seconds in (("a", 2), ("b", 3), ("c", 7), ("d", 1), ("e", 1)):
        make_video(tmp_path / "in" / f"{name}.mp4", seconds * 5, time_base=Fraction(1, 5))
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "out"))


def plan_of(folder: Path, out: Storage, corpus: CorpusConfig) -> PackingPlan:
    return make_plan(corpus, find_sources(corpus, folder, Stores()), earlier_plan(corpus, out))


def planned(folder: Path, out: Storage, corpus: CorpusConfig) -> PackingPlan:
    plan = plan_of(folder, out, corpus)
    plan.save(out)
    return plan


def test_videos_fill_shards_in_order_and_are_never_split(folder: Path, out: Storage) -> None:
    plan = plan_of(folder, out, corpus(seconds_a_shard=5))
    assert layout(plan) == {"000": ["a", "b"], "001": ["c"], "002": ["d", "e"]}
    assert [shard.predicted_frames for shard in plan.shards] == [5, 7, 2]


def test_a_plan_comes_back_and_stays(folder: Path, out: Storage) -> None:
    plan = planned(folder, out, corpus(workers=3))
    assert PackingPlan.load(out) == plan == plan_of(folder, out, corpus(workers=1))


def test_added_videos_open_new_shards(folder: Path, out: Storage) -> None:
    first = planned(folder, out, corpus(seconds_a_shard=5))
    make_video(folder / "aa.mp4", 5, time_base=Fraction(1, 5))
    second = plan_of(folder, out, corpus(seconds_a_shard=5))
    assert second.shards[:3] == first.shards
    assert layout(second)["003"] == ["aa"]


def test_a_changed_video_stays_and_one_that_is_gone_leaves(folder: Path, out: Storage) -> None:
    first = planned(folder, out, corpus(seconds_a_shard=5))
    make_video(folder / "b.mp4", 25, time_base=Fraction(1, 5))
    (folder / "c.mp4").unlink()
    second = plan_of(folder, out, corpus(seconds_a_shard=5, hold_out=("e",)))
    assert layout(second) == {"000": ["a", "b"], "002": ["d"]}
    changed = [
        (one.fingerprint(first.options), two.fingerprint(second.options))
        for one, two in ((first.shards[0], second.shards[0]), (first.shards[2], second.shards[1]))
    ]
    assert all(one != two for one, two in changed)


def test_other_options_plan_afresh(folder: Path, out: Storage) -> None:
    planned(folder, out, corpus(seconds_a_shard=5))
    second = plan_of(folder, out, corpus(seconds_a_shard=5, fps=2))
    assert layout(second) == {"000": ["a"], "001": ["b"], "002": ["c"], "003": ["d", "e"]}


def test_a_fingerprint_follows_contents_not_places(
    folder: Path, out: Storage, tmp_path: Path
) -> None:
    shard = plan_of(folder, out, corpus()).shards[0]
    options = plan_of(folder, out, corpus()).options
    moved = tmp_path / "moved"
    os.rename(folder, moved)
    assert plan_of(moved, out, corpus()).shards[0].fingerprint(options) == shard.fingerprint(
        options
    )
    other = dataclasses.replace(options, jpeg_quality=90)
    assert shard.fingerprint(other) != shard.fingerprint(options)
    assert dataclasses.replace(shard, procedure="q").fingerprint(options) != shard.fingerprint(
        options
    )


def test_what_cannot_be_opened_is_quarantined_with_its_reason(folder: Path, out: Storage) -> None:
    (folder / "b.mp4").write_bytes(b"no video")
    whole = (folder / "c.mp4").read_bytes()
    (folder / "c.mp4").write_bytes(whole[: len(whole) // 2])
    plan = plan_of(folder, out, corpus())
    assert layout(plan) == {"000": ["a", "d", "e"]}
    assert [(video.video, video.reason[:14]) for video in plan.quarantine] == [
        ("b", "cannot be open"),
        ("c", "cannot be open"),
    ]


def test_a_folder_of_another_corpus_is_left_alone(folder: Path, out: Storage) -> None:
    planned(folder, out, corpus())
    with pytest.raises(
        ConfigError, match="holds the 'train' split, not 'held_out'; pack into another folder"
    ):
        earlier_plan(corpus(split="held_out", hold_out=("a",)), out)
    with pytest.raises(ConfigError, match="holds the 'train' split, not 'all'"):
        earlier_plan(corpus(split="all"), out)
    out.write("other/other-000000.tar", b"precious")
    with pytest.raises(
        ConfigError, match="holds shards of dataset 'other', which the corpus file does not have"
    ):
        earlier_plan(corpus(), out)


def test_shards_of_an_unknown_plan_are_left_alone(out: Storage) -> None:
    out.write("d/d-000000.tar", b"precious")
    with pytest.raises(
        ConfigError, match=r"holds shards, such as d/d-000000\.tar, without the plan\.json"
    ):
        earlier_plan(corpus(), out)
    out.write("plan.json", b"somebody else's")
    with pytest.raises(
        ManifestError, match=r"plan\.json: expected the plan of a corpus, got something else"
    ):
        earlier_plan(corpus(), out)


def test_a_difference_says_what_became_of_a_dataset(folder: Path, out: Storage) -> None:
    plan = planned(folder, out, corpus())
    other = plan_of(folder, open_storage(f"{out.uri}2"), corpus(fps=2, jpeg_quality=90))
    assert plan.difference(other, "d") == "fps was 1.0 and is 2.0, jpeg_quality was 85 and is 90"
    make_video(folder / "b.mp4", 25, time_base=Fraction(1, 5))
    later = plan_of(folder, out, corpus(hold_out=("a", "e")))
    assert (
        plan.difference(later, "d")
        == "2 of its videos no longer packed, such as a, 1 of its videos changed, such as b"
    )
    assert plan.difference(plan, "d") == ""


def test_a_damaged_plan_is_said(folder: Path, out: Storage) -> None:
    planned(folder, out, corpus())
    out.write("plan.json", out.read("plan.json").replace(b"train", b"brain"))
    with pytest.raises(
        ManifestError, match=r"plan\.json: expected the plan of a corpus, got .* a damaged one"
    ):
        earlier_plan(corpus(), out)
