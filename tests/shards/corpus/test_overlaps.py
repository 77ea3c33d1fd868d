"""What a corpus file declares of the tasks that judge by its videos."""

from pathlib import Path
from typing import Any

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.corpus.overlaps import told_overlaps
from tests.helpers.commands import pack as main
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video

OVERLAPS = {"some_task": ["v[1-2]"], "another": ["v[1-7]"]}


def corpus(overlaps: dict[str, list[str]], split: str = "train") -> CorpusConfig:
    dataset: dict[str, Any] = {"name": "d", "specialty": "s", "procedure": "p", "videos": "*.mp4"}
    tree = {"datasets": [dataset | {"packs_test_of": overlaps}], "pack": {"split": split}}
    return build(CorpusConfig, tree, where="corpus.yaml")


def test_a_line_tells_of_each_task() -> None:
    assert list(told_overlaps(corpus(OVERLAPS))) == [
        "d: packs 2 videos that the task some_task chooses by or tests on: v1, v2",
        "d: packs 7 videos that the task another chooses by or tests on: v1, v2, v3, v4, v5 and 2 more",
    ]


def test_what_is_held_out_trains_nobody() -> None:
    assert not list(told_overlaps(corpus(OVERLAPS, split="held_out")))


def test_malformed_ids_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"datasets\[0\]: packs_test_of.t: expected numbers in"):
        corpus({"t": ["v[1..2]"]})


def test_packing_tells_it_and_packs_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "v1.mp4", 25)
    dataset = {"name": "d", "videos": "*.mp4"}
    shards = []
    for more in ({}, {"packs_test_of": OVERLAPS}):
        described = write_corpus(tmp_path, {**dataset, **more})
        assert main([described, str(tmp_path / "out")]) == 0
        shards.append({path.name: path.read_bytes() for path in tmp_path.glob("out/d/*")})
    assert shards[0] == shards[1]

    told = capsys.readouterr().out
    assert told.count("d: packs 2 videos that the task some_task chooses by or tests on") == 1
