"""Plans: which video goes into which shard, now and later."""

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.loading import build
from shards.corpus import CorpusConfig
from shards.errors import ManifestError
from shards.plan import BYTES_PER_PIXEL, Plan, make_plan
from shards.storage import Storage, open_storage
from tests.helpers.videos import HEIGHT, WIDTH, make_video

SECOND_BYTES = WIDTH * HEIGHT * BYTES_PER_PIXEL


def corpus(*, seconds_a_shard: float = 1000, hold_out: tuple[str, ...] = (), **options: object) -> CorpusConfig:
    dataset = {"name": "d", "specialty": "s", "procedure": "p", "videos": "*.mp4", "hold_out": list(hold_out)}
    pack = {"shard_bytes": round(seconds_a_shard * SECOND_BYTES), **options}
    return build(CorpusConfig, {"datasets": [dataset], "pack": pack}, where="corpus.yaml")


def layout(plan: Plan) -> dict[str, list[str]]:
    return {shard.name[-len("000.tar") : -len(".tar")]: [video.id for video in shard.videos] for shard in plan.shards}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seconds in (("a", 2), ("b", 3), ("c", 7), ("d", 1), ("e", 1)):
        make_video(tmp_path / "in" / f"{name}.mp4", seconds * 5, time_base=Fraction(1, 5))
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "out"))


def planned(folder: Path, out: Storage, corpus: CorpusConfig) -> Plan:
    plan = make_plan(corpus, folder, out)
    plan.save(out)
    return plan


def test_videos_fill_shards_in_order_and_are_never_split(folder: Path, out: Storage) -> None:
    plan = make_plan(corpus(seconds_a_shard=5), folder, out)
    assert layout(plan) == {"000": ["a", "b"], "001": ["c"], "002": ["d", "e"]}
    assert [shard.predicted_frames for shard in plan.shards] == [5, 7, 2]


def test_a_plan_comes_back_and_stays(folder: Path, out: Storage) -> None:
    plan = planned(folder, out, corpus(workers=3))
    assert Plan.load(out) == plan == make_plan(corpus(workers=1), folder, out)


def test_added_videos_open_new_shards(folder: Path, out: Storage) -> None:
    first = planned(folder, out, corpus(seconds_a_shard=5))
    make_video(folder / "aa.mp4", 5, time_base=Fraction(1, 5))
    second = make_plan(corpus(seconds_a_shard=5), folder, out)
    assert second.shards[:3] == first.shards
    assert layout(second)["003"] == ["aa"]


def test_a_changed_video_stays_and_one_that_is_gone_leaves(folder: Path, out: Storage) -> None:
    first = planned(folder, out, corpus(seconds_a_shard=5))
    make_video(folder / "b.mp4", 25, time_base=Fraction(1, 5))
    (folder / "c.mp4").unlink()
    second = make_plan(corpus(seconds_a_shard=5, hold_out=("e",)), folder, out)
    assert layout(second) == {"000": ["a", "b"], "002": ["d"]}
    changed = [
        (one.fingerprint(first.options), two.fingerprint(second.options))
        for one, two in ((first.shards[0], second.shards[0]), (first.shards[2], second.shards[1]))
    ]
    assert all(one != two for one, two in changed)


def test_other_options_plan_afresh(folder: Path, out: Storage) -> None:
    planned(folder, out, corpus(seconds_a_shard=5))
    second = make_plan(corpus(seconds_a_shard=5, fps=2), folder, out)
    assert layout(second) == {"000": ["a"], "001": ["b"], "002": ["c"], "003": ["d", "e"]}


def test_a_fingerprint_follows_contents_not_places(folder: Path, out: Storage, tmp_path: Path) -> None:
    shard = make_plan(corpus(), folder, out).shards[0]
    options = make_plan(corpus(), folder, out).options
    moved = tmp_path / "moved"
    os.rename(folder, moved)
    assert make_plan(corpus(), moved, out).shards[0].fingerprint(options) == shard.fingerprint(options)
    other = dataclasses.replace(options, jpeg_quality=90)
    assert shard.fingerprint(other) != shard.fingerprint(options)
    assert dataclasses.replace(shard, procedure="q").fingerprint(options) != shard.fingerprint(options)


def test_what_cannot_be_opened_is_quarantined_with_its_reason(folder: Path, out: Storage) -> None:
    (folder / "b.mp4").write_bytes(b"no video")
    whole = (folder / "c.mp4").read_bytes()
    (folder / "c.mp4").write_bytes(whole[: len(whole) // 2])
    plan = make_plan(corpus(), folder, out)
    assert layout(plan) == {"000": ["a", "d", "e"]}
    assert [(video.video, video.reason[:14]) for video in plan.quarantine] == [
        ("b", "cannot be open"),
        ("c", "cannot be open"),
    ]


def test_a_folder_of_another_corpus_is_left_alone(folder: Path, out: Storage) -> None:
    planned(folder, out, corpus())
    with pytest.raises(ConfigError, match="holds the 'train' split, not 'held_out'; pack into another folder"):
        make_plan(corpus(split="held_out", hold_out=("a",)), folder, out)
    out.write("other/other-000000.tar", b"precious")
    with pytest.raises(ConfigError, match="holds shards of dataset 'other', which the corpus file does not have"):
        make_plan(corpus(), folder, out)


def test_a_damaged_plan_is_said(folder: Path, out: Storage) -> None:
    planned(folder, out, corpus())
    out.write("plan.json", out.read("plan.json").replace(b"train", b"brain"))
    with pytest.raises(ManifestError, match=r"plan\.json: its checksum does not fit"):
        make_plan(corpus(), folder, out)
