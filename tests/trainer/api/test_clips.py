"""Clips in a notebook are those of a training, and go on where they were left."""

import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import surgstream
from surgstream.configs.errors import ConfigError
from surgstream.trainer.api.clips import Batch, Clips
from surgstream.trainer.commands.order import lines
from surgstream.trainer.config import load_recipe
from surgstream.trainer.engine.schedules import Progress
from tests.helpers.labelled import write_labelled

SETTINGS: dict[str, Any] = {
    "num_frames": 4,
    "image_size": 32,
    "stride": 2,
    "seed": 7,
    "order": {"open_chunks": 5, "chunk_frames": 8, "weights": "balanced"},
    "decode": {"threads": 1},
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shards, _ = write_labelled(tmp_path_factory.mktemp("corpus"))
    return shards


def clips(shards: Path, **changes: Any) -> Clips:
    return surgstream.open_corpus(str(shards)).clips(**{"batch_size": 4, **SETTINGS, **changes})


def named(batches: list[Batch]) -> list[str]:
    return [name for batch in batches for name in batch["names"]]


def ordered(shards: Path, count: int, world_size: int) -> list[dict[str, Any]]:
    """What `surgstream order` says of a recipe with the same settings."""
    words = [
        f"data.corpus={shards}", "held_out=null", "seed=7", "data.fps=null", "data.stride=2",
        "data.order={open_chunks: 5, chunk_frames: 8, weights: balanced}",
        "micro_batch_size=4", f"global_batch_size={4 * world_size}",
    ]  # fmt: skip
    recipe = load_recipe("configs/pretrain/surgvista_tiny.yaml", words)
    start = Progress(step=0, clips_seen=0, state={})
    return list(lines(recipe, start, 0, count, world_size))


@pytest.mark.parametrize("world_size", [1, 2])
def test_their_order_is_that_of_a_recipe(shards: Path, world_size: int) -> None:
    expected = ordered(shards, 12 * world_size, world_size)
    for rank in range(world_size):
        batches = list(islice(clips(shards, rank=rank, world_size=world_size), 3))
        mine = [line for line in expected if line["rank"] == rank]
        said = [f"{line['dataset']}/{line['video']}@{line['anchor_frame']}" for line in mine]
        assert sorted(named(batches)) == sorted(said)
        assert sorted(torch.cat([batch["draws"] for batch in batches]).tolist()) == [
            line["g"] for line in mine
        ]


def test_a_batch_is_what_a_model_takes_and_stays_as_it_is(shards: Path) -> None:
    first, *others = list(islice(clips(shards), 6))
    assert first["clips"].shape == (4, 3, 4, 32, 32) and first["clips"].dtype == torch.float32
    again = next(iter(clips(shards)))
    assert torch.equal(first["clips"], again["clips"]) and first["names"] == again["names"]
    assert len({*named([first, *others])}) > 4


def test_they_go_on_where_they_were_left(shards: Path) -> None:
    whole = list(islice(clips(shards), 6))
    first = clips(shards)
    assert named(list(islice(first, 2))) == named(whole[:2])
    assert named(list(islice(first, 1))) == named(whole[2:3])

    other = clips(shards)
    other.load_state_dict(first.state_dict())
    rest = list(islice(other, 3))
    assert named(rest) == named(whole[3:])
    assert torch.equal(rest[0]["clips"], whole[3]["clips"])


def test_a_new_iteration_ends_the_one_before(shards: Path) -> None:
    whole = list(islice(clips(shards), 3))
    found = clips(shards)
    first = iter(found)
    assert named([next(first)]) == named(whole[:1])
    second = iter(found)
    assert named([next(second)]) == named(whole[1:2])
    assert next(first, None) is None
    assert named([next(second)]) == named(whole[2:])


def test_a_program_may_end_in_mid_iteration(shards: Path) -> None:
    program = (
        "import surgstream, sys; batches = iter(surgstream.open_corpus(sys.argv[1]).clips("
        "num_frames=4, image_size=32, stride=1)); print(next(batches)['names'])"
    )
    words = [sys.executable, "-c", program, str(shards)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_a_state_goes_on_with_more_ranks(shards: Path) -> None:
    first = clips(shards)
    list(islice(first, 2))
    found = []
    for rank in range(2):
        other = clips(shards, rank=rank, world_size=2)
        other.load_state_dict(first.state_dict())
        found += list(islice(other, 1))
    alone = list(islice(clips(shards), 4))[2:]
    assert sorted(named(found)) == sorted(named(alone))


def test_a_state_of_another_corpus_is_refused(shards: Path) -> None:
    other = surgstream.open_corpus(str(shards), datasets=["knee"]).clips(batch_size=4, **SETTINGS)
    with pytest.raises(ConfigError, match="state of clips of this corpus"):
        other.load_state_dict(clips(shards).state_dict())


# Of torchdata's import, under the newest torch
@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_loaders_of_torch_take_them(shards: Path) -> None:
    whole = list(islice(clips(shards), 4))
    assert named(list(islice(DataLoader(clips(shards), batch_size=None), 2))) == named(whole[:2])

    loader = StatefulDataLoader(clips(shards), batch_size=None)
    assert named(list(islice(loader, 2))) == named(whole[:2])
    resumed = StatefulDataLoader(clips(shards), batch_size=None)
    resumed.load_state_dict(loader.state_dict())
    assert named(list(islice(resumed, 2))) == named(whole[2:])


def test_workers_of_a_loader_are_refused(shards: Path) -> None:
    loader = DataLoader(clips(shards), batch_size=None, num_workers=1)
    with pytest.raises(Exception, match="expected a loader with num_workers=0"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rank": 2, "world_size": 2}, "expected a rank below 2, got 2"),
        ({"strid": 2}, "strid"),
        ({"augment": "square"}, "augment"),
        ({"num_frames": 0}, "num_frames: expected 1 to 4096, got 0"),
        ({"image_size": 64.0}, "image_size"),
        ({"batch_size": -1}, "batch_size"),
        ({"world_size": 0}, "world_size"),
    ],
)
def test_wrong_settings_are_told(shards: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        clips(shards, **changes)
