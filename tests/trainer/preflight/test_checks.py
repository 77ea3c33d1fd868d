import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.shards.errors import StorageError
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.checkpoint_files import state_bytes
from surgstream.trainer.errors import CheckpointError, PreflightError
from surgstream.trainer.preflight import model, network
from surgstream.trainer.preflight.checklist import Checklist
from surgstream.trainer.preflight.examination import examine_mirror
from surgstream.trainer.preflight.judgement.report import CheckFailure
from surgstream.trainer.preflight.node import driver_version, free_gib, look_at_node
from surgstream.trainer.preflight.rendezvous import Rendezvous
from surgstream.trainer.preflight.shared_folder import check_shared, trial_folder
from surgstream.trainer.preflight.store import Corpora
from tests.helpers.handmade import write_corpus

CPU = torch.device("cpu")
RECIPE = "configs/pretrain/surgvista_tiny.yaml"


@pytest.fixture(scope="module")
def meeting() -> Rendezvous:
    return Rendezvous(RankInfo(), 10)


@pytest.fixture
def checks(meeting: Rendezvous) -> Checklist:
    return Checklist(meeting, CPU, 10)


def recipe(*overrides: str) -> TrainConfig:
    return load(TrainConfig, RECIPE, overrides)


def raising(error: Exception) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PreflightError("it is broken; mend it"), "it is broken; mend it"),
        (StorageError("s3://b: access is denied"), "s3://b: access is denied; look there"),
        (PermissionError(13, "Permission denied", "/run"), "/run: Permission denied; look there"),
        (RuntimeError("NCCL is ill\nand long"), "RuntimeError: NCCL is ill; look there"),
        (OSError("http://me:secret@host fails"), "http://...@host fails; look there"),
    ],
)
def test_a_check_that_fails_becomes_a_sentence_without_secrets(
    checks: Checklist, error: Exception, sentence: str
) -> None:
    assert checks.run("store", raising(error), seconds=5, advice="look there") is None
    assert checks.failures == [CheckFailure(check="store", sentence=sentence)]
    assert checks.has_failed("store") and not checks.has_failed("disk")


def test_a_check_that_hangs_is_left_behind(checks: Checklist) -> None:
    end = threading.Event()
    assert checks.run("disk", end.wait, seconds=0.1, advice="look there") is None
    assert checks.run("next", lambda: 5, seconds=5, advice="") == 5
    (failure,) = checks.failures
    assert failure.sentence == "no answer within 0 s; look there" and not failure.in_time
    end.set()


def test_no_check_gets_more_time_than_there_is_for_all(meeting: Rendezvous) -> None:
    end = threading.Event()
    assert Checklist(meeting, CPU, 0.1).run("disk", end.wait, seconds=3600, advice="") is None
    end.set()


def test_checks_have_more_time_where_there_are_many_ranks() -> None:
    for world_size in (1, 512):
        place = SimpleNamespace(rank_info=RankInfo(world_size=world_size))
        checks = Checklist(cast(Rendezvous, place), CPU, 3600)
        assert checks.at_most(10) == 10 + 0.1 * world_size


def test_a_node_is_seen_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "chunk").write_bytes(bytes(2**20))
    facts = look_at_node(CPU, tmp_path / "not" / "there", tmp_path / "cache")
    assert facts.gpus == () and facts.own_gpu == ""
    assert facts.versions["torch"] == torch.__version__ and facts.versions["DALI"] != "none"
    assert facts.cache_gib == pytest.approx(facts.run_dir_gib + 1 / 1024, abs=0.5)
    assert facts.shm_gib == pytest.approx(free_gib(Path("/dev/shm")), abs=0.5)


def test_a_rank_without_its_gpu_sees_the_rest_of_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 29, 7))
    facts = look_at_node(torch.device("cuda", 3), tmp_path, None)
    assert (facts.own_gpu, facts.own_free_gib, facts.num_far_cores) == ("", 0.0, 0)
    assert facts.num_cores == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n",
            "550.54.15",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (b@c)\n",
            "580.159.04",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  570.86.15  Release Build\n",
            "570.86.15",
        ),
        ("", "unknown"),
    ],
    ids=["closed", "open", "open, Arm", "none"],
)
def test_the_driver_says_its_version(text: str, version: str) -> None:
    assert driver_version(text) == version


@pytest.mark.gpu
def test_a_gpu_is_seen_and_a_step_takes_memory(tmp_path: Path, alone: None) -> None:
    rank_info = RankInfo()
    facts = look_at_node(rank_info.device, tmp_path, None)
    assert (
        facts.own_gpu in {gpu.uuid for gpu in facts.gpus}
        and 0 < facts.own_free_gib <= facts.gpus[0].gib
    )
    assert facts.versions.keys() == {"torch", "DALI", "driver", "CUDA", "NCCL"}
    step = model.take_step(
        config := recipe("micro_batch_size=2"), rank_info, model.build_model(config, rank_info)
    )
    assert 0 < step.peak_gib < step.gib


def test_reading_goes_all_over_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path)
    corpora = Corpora(
        recipe(f"data.corpus={tmp_path}", "held_out=null", "data.read.range_bytes=1000")
    )
    read: set[tuple[str, int]] = set()
    storage = corpora.storage
    inner = storage.read_into

    def note(name: str, start: int, out: memoryview, stop: threading.Event | None = None) -> None:
        read.add((name, start))
        inner(name, start, out, stop)

    monkeypatch.setattr(storage, "read_into", note)
    assert corpora.mb_per_second(0.2, rank=1, world_size=2) > 0
    assert {name for name, _ in read} == {name for name, _ in corpora._shards}
    sizes = dict(corpora._shards)
    for name, size in sizes.items():
        starts = [start for shard, start in read if shard == name]
        assert min(starts) < size / 5 and max(starts) > size / 2, "from its beginning to its end"


def test_a_shard_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    corpora = Corpora(recipe(f"data.corpus={tmp_path}", "held_out=null"))
    for shard in tmp_path.rglob("*.tar"):
        shard.unlink()
    with pytest.raises(StorageError, match=r"tar is missing"):
        corpora.mb_per_second(0.1, rank=0, world_size=1)


def test_both_corpora_have_a_part_in_the_name(tmp_path: Path) -> None:
    train, held_out = tmp_path / "train", tmp_path / "held_out"
    write_corpus(train)
    write_corpus(held_out, {"knee": [{"a": [(0, 11)]}]})
    both = Corpora(recipe(f"data.corpus={train}", f"held_out.corpus={held_out}")).manifest
    alone = [
        Corpora(recipe(f"data.corpus={corpus}", "held_out=null")).manifest
        for corpus in (train, held_out)
    ]
    assert both == "+".join(alone)


def test_chunks_that_ranks_cannot_hold_are_told_before_a_run(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    words = (f"data.corpus={tmp_path}", "held_out=null", f"run_dir={tmp_path / 'run'}")
    Corpora(recipe(*words)).check_memory(1)
    small = Corpora(recipe(*words, "data.read.buffer_bytes=1000"))
    small.check_memory(1000)
    with pytest.raises(ConfigError, match=r"on each of 1 ranks; .*; set data.read.buffer_bytes="):
        small.check_memory(1)


def test_a_run_that_goes_on_is_judged_by_the_order_that_it_has(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    words = (f"data.corpus={tmp_path}", "held_out=null", f"run_dir={tmp_path / 'run'}")
    started = recipe(*words)
    table = FrameTable.open(open_storage(str(tmp_path)), fps=started.data.fps)
    order = Order.create(table.sizes(), started.seed, started.data.order)
    checkpoint = tmp_path / "run" / "checkpoints" / "step_00000001"
    checkpoint.mkdir(parents=True)
    state = {"step": 1, "g": 16, "order": order.to_json(), "manifest": table.sha256, "files": {}}
    (checkpoint / "state.json").write_bytes(state_bytes(state))
    Corpora(started).check_memory(1)
    with pytest.raises(CheckpointError, match="another seed is another run"):
        Corpora(recipe(*words, "seed=1")).check_memory(1)


def test_a_run_directory_is_tried_in_a_folder_of_its_own(
    meeting: Rendezvous, tmp_path: Path
) -> None:
    assert check_shared(meeting, tmp_path / "checkpoints", 5)
    assert [path.name for path in trial_folder(meeting, tmp_path / "checkpoints").iterdir()] == [
        "0"
    ]


@pytest.mark.parametrize(
    ("micro", "advice"), [(8, "micro_batch_size=4"), (5, "micro_batch_size=1"), (1, "zero_stage=2")]
)
def test_a_step_that_does_not_fit_says_what_to_try(
    micro: int, advice: str, monkeypatch: pytest.MonkeyPatch, alone: None
) -> None:
    def full(*_: object) -> Iterator[None]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    config = recipe("global_batch_size=40", f"micro_batch_size={micro}")
    objective = model.build_model(config, RankInfo())
    monkeypatch.setattr(objective, "forward", full)
    with pytest.raises(
        PreflightError, match=f"micro_batch_size {micro} does not fit .* try .*{advice}"
    ):
        model.take_step(config, RankInfo(), objective)


def test_a_step_trains_nothing_else_and_has_no_gpu_memory_here(alone: None) -> None:
    config = recipe("micro_batch_size=2")
    found = model.take_step(config, RankInfo(), model.build_model(config, RankInfo()))
    assert found == replace(found, peak_gib=0.0, gib=0.0)


def test_a_rank_alone_has_no_network(alone: None) -> None:
    assert network.bus_gb_per_second(CPU, 1.0) == 0.0


def test_a_mirror_is_written_to_and_left_as_it_was(
    meeting: Rendezvous, checks: Checklist, tmp_path: Path
) -> None:
    run = ("data.corpus=nowhere", "run_dir=runs/a")
    examine_mirror(recipe(*run), meeting, checks)
    examine_mirror(recipe(*run, f"checkpoint.mirror={tmp_path}/mirror"), meeting, checks)
    assert not checks.failures and not list((tmp_path / "mirror").iterdir())

    (tmp_path / "file").touch()
    examine_mirror(recipe(*run, f"checkpoint.mirror={tmp_path}/file/mirror"), meeting, checks)
    (failure,) = checks.failures
    assert failure.check == "mirror" and failure.fatal
    assert (
        "Not a directory; see whether this node may write to checkpoint.mirror" in failure.sentence
    )
