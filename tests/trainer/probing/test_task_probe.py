"""The online probe on a task: what it finds, beside slow restatements, on ranks, and what it never looks at."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.shards.keyed_random import Purpose, choice, hash64
from surgstream.trainer.assembly import task_probe
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo, rank_info_from_environment
from surgstream.trainer.joining import join
from surgstream.trainer.labelled.collecting import Collector
from surgstream.trainer.labelled.scoring import main_metric
from surgstream.trainer.probing.config import ProbeConfig
from surgstream.trainer.probing.linear_probe import RIDGES
from surgstream.trainer.probing.tasks.attentive import AttentiveReadouts, Tokens, left_out_clips
from surgstream.trainer.probing.tasks.probe import TaskProbe, ridge_scores
from surgstream.trainer.readouts.bank_config import AttentiveConfig
from surgstream.trainer.readouts.banks.heads import AttentiveHeads
from surgstream.trainer.readouts.banks.targets import Target
from tests.helpers.labelled import GreyEncoder, write_labelled, write_task
from tests.helpers.ranks import finish, start, start_ranks

pytestmark = pytest.mark.usefixtures("alone")

SMALL = (
    "global_batch_size=8", "micro_batch_size=4", "clips_per_epoch=32", "epochs=2", "data.fps=1", "data.stride=2",
    "data.order={open_chunks: 4, chunk_frames: 8}", "data.audit_log=false", "held_out=null", "run_dir=nowhere",
    "objective.encoder.embed_dim=48", "objective.encoder.depth=1", "objective.encoder.num_heads=2",
    "objective.encoder.image_size=32", "objective.decoder.embed_dim=32", "objective.decoder.depth=1",
    "objective.decoder.num_heads=2", "optim.warmup_epochs=0", "checkpoint.every_steps=100",
    "metrics={every_steps: 1, pictures_every_steps: 0, collapse_every_steps: 0}",
)  # fmt: skip
GREY = GreyEncoder(num_frames=4)
WIDE = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))


def tokens_of(clips: Tensor) -> Tensor:
    """Tokens that tell how grey they are after a norm as well: a frame's quarters, mixed with a constant."""
    grey = GREY.tokens(clips)
    return torch.cat([grey, torch.ones_like(grey[..., :1])], -1) @ WIDE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus `shards`, its `labels` without those of the test videos, and a task of each kind."""
    folder = tmp_path_factory.mktemp("labelled")
    write_labelled(folder)
    for name in ("phases", "tools", "score"):
        write_task(folder, name)
    for video in ("v6", "v7"):
        (folder / "labels" / f"{video}.csv").unlink()
    return folder


def recipe(folder: Path, **probe: Any) -> TrainConfig:
    settings = {
        "task": str(folder / "phases.yaml"),
        "labels": str(folder / "labels"),
        "clips": 60,
        "test_clips": 20,
        "num_heads": 2,
        "lrs": [1e-2, 1e-4],
        "epochs": 20,
        "every_steps": 2,
        **probe,
    }
    words = [*SMALL, f"data.corpus={folder / 'shards'}", f"probe={json.dumps(settings)}"]
    return load(TrainConfig, "configs/pretrain/surgrec_mae_tiny.yaml", words)


def probe(folder: Path, rank_info: RankInfo | None = None, **settings: Any) -> TaskProbe:
    config = recipe(folder, **settings)
    assert config.probe
    return task_probe(config, config.probe, rank_info or RankInfo())


def measure(made: TaskProbe, **rest: Any) -> dict[str, float]:
    with torch.no_grad():  # as periodic tasks are run
        return made.measure(GREY.pooled, tokens_of, **rest)


@pytest.mark.parametrize("readout", ["linear", "attentive"])
@pytest.mark.parametrize("task", ["phases", "tools"])
def test_what_grey_tells_is_found_without_the_test_videos(
    folder: Path, readout: str, task: str
) -> None:
    made = probe(folder, readout=readout, task=str(folder / f"{task}.yaml"))
    found = measure(made)
    main = {"phases": "image_accuracy", "tools": "map"}[task]
    assert found.keys() == {main, f"{main}_of_constant"}
    assert found[main] > found[f"{main}_of_constant"] + 0.2 and found[main] > 0.6
    assert measure(made) == found, "nothing is random"


@pytest.mark.parametrize("readout", ["linear", "attentive"])
def test_numbers_are_predicted_in_their_own_unit(folder: Path, readout: str) -> None:
    found = measure(probe(folder, readout=readout, task=str(folder / "score.yaml"), epochs=2))
    # The median of 4.5, 0.5, 1.5 and 1.5 beside 4.5 and 2.5
    assert found["mae_of_constant"] == pytest.approx(2.0)
    assert 0 <= found["mae"] < 5


def test_with_all_clips_the_metric_is_that_of_evaluation(folder: Path) -> None:
    made = probe(folder, test_clips=10**6)
    kept: list[tuple[Any, Tensor]] = []
    usual = made._linear

    def noted(embed: Any, poll_stop: Any) -> Any:
        kept.append(usual(embed, poll_stop))  # type: ignore[arg-type]
        return kept[0]

    object.__setattr__(made, "_linear", noted)
    found = measure(made)
    names, outputs = kept[0]
    collector = Collector(made.judge.split)
    collector.add(names, np.ones(len(names), bool), outputs[None].numpy())
    (predictions,) = collector.gather()
    expected = main_metric(predictions, made.judge.split, made.task.config)
    assert found["image_accuracy"] == pytest.approx(expected)
    assert len(names) == 12 + 11, "the seconds of both videos"


def test_clips_are_a_task_s_whatever_the_pretraining_s_are(folder: Path) -> None:
    made = probe(folder, clips=5, test_clips=4)
    encoded = made.fit.encoded(GREY.pooled, lambda: False)
    assert encoded
    names, features = encoded
    assert len(names) == len(features) == 5 and len({name.video for name in names}) >= 3
    # Frames of the packed rate, although the pretraining shows half of them
    assert {name.anchor_frame % 2 for name in names} == {0}
    assert made.fit.split.table.locate("knee", 3).apart == 1


@pytest.mark.parametrize("readout", ["linear", "attentive"])
def test_it_makes_way_after_every_batch_and_step(folder: Path, readout: str) -> None:
    made = probe(folder, readout=readout, epochs=1, clips=12, test_clips=8)
    asked: list[None] = []

    def stop_after(number: int) -> dict[str, float]:
        asked.clear()
        return measure(made, poll_stop=lambda: len(asked.append(None) or asked) > number)

    assert stop_after(100)
    total = len(asked)
    assert total == 3 + 2 + (readout == "attentive")
    for number in range(total):
        assert stop_after(number) == {} and len(asked) == number + 1


def test_readouts_that_all_diverge_are_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = probe(folder, readout="attentive", epochs=1)
    with torch.no_grad():
        found = made.measure(GREY.pooled, lambda clips: tokens_of(clips) * torch.nan)
    assert found == {} and "all readouts diverged; set lower probe.lrs" in caplog.text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": None}, r"probe\.labels: expected null where there is no task"),
        ({"task": None, "labels": None}, r"probe\.test_corpus: expected a corpus where held_out is null"),
        ({"task": None, "labels": None, "readout": "attentive", "test_corpus": "c"}, r"probe\.task: expected a task"),
        ({"test_corpus": "c"}, r"probe\.test_corpus: expected null beside a task"),
        ({"readout": "attentive", "num_heads": 5}, r"a divisor of the encoder's width 48, got 5"),
        ({"readout": "attentive", "lrs": []}, r"probe\.lrs: expected one or more"),
        ({"readout": "attentive", "lrs": [0.1, 0.1]}, r"probe\.lrs: expected one or more, each once"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(folder: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        recipe(folder, **changes)


def test_a_task_without_validation_videos_is_refused(folder: Path, tmp_path: Path) -> None:
    split = {"train": ["v[0-5]"], "test": ["v[6-7]"], "source": "Ours."}
    task = write_task(tmp_path, "phases", split=split)
    with pytest.raises(ConfigError, match="labelled validation videos, as the test is not asked"):
        probe(folder, task=task)


def test_the_default_heads_fit_all_sizes() -> None:
    for width in (48, 192, 384, 768, 1024, 1280, 1408):
        settings = ProbeConfig(task="t", readout="attentive")
        assert not [*settings.problems_beside(width=width, has_held_out=False)]


def restated_ridge(x: Any, y: Any, penalty: float, other: Any) -> Any:
    mean, std = x.mean(0), x.std(0) + 1e-6
    z = (x - mean) / std
    weights = np.linalg.solve(
        z.T @ z / len(x) + penalty * np.eye(x.shape[1]), z.T @ (y - y.mean(0)) / len(x)
    )
    return (other - mean) / std @ weights + y.mean(0)


def test_ridge_takes_the_penalty_with_the_least_error_on_videos_left_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    y = x[:, :2] + rng.normal(size=(60, 2))
    videos = [f"v{i % 7}" for i in range(60)]
    other = rng.normal(size=(9, 4))

    errors = []
    for ridge in RIDGES:
        squares = 0.0
        for fold in range(5):
            left_out = np.array([int(video[1:]) % 5 == fold for video in videos])
            found = restated_ridge(x[~left_out], y[~left_out], 4 * ridge, x[left_out])
            squares += ((found - y[left_out]) ** 2).sum()
        errors.append(squares)
    best = RIDGES[int(np.argmin(errors))]
    assert best not in (RIDGES[0], RIDGES[-1]), "this test would say little"

    found = ridge_scores(*map(torch.from_numpy, (x, y)), videos, torch.from_numpy(other))
    assert np.allclose(found.numpy(), restated_ridge(x, y, 4 * best, other))


def some_tokens(num: int) -> tuple[Tensor, Tensor, list[str]]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num) % 3
    tokens = torch.randn(num, 5, 6, generator=generator)
    tokens[:, 2, 0] += 2.0 * labels
    return tokens, labels, [f"v{i * 4 // num}" for i in range(num)]


def fitted(settings: ProbeConfig, clips: Tokens) -> AttentiveReadouts:
    target = Target(kind="class", num_outputs=3)
    readouts = AttentiveReadouts(
        settings, target, width=6, seed=4, micro_batch_size=3, device=torch.device("cpu")
    )
    with torch.no_grad():
        assert readouts.fit(clips, lambda: False)
    return readouts


def test_an_attentive_readout_is_one_that_torch_trains_alone() -> None:
    tokens, labels, videos = some_tokens(70)
    settings = ProbeConfig(
        task="t", readout="attentive", lrs=(3e-2, 1e-6), epochs=4, num_heads=2, self_blocks=1
    )
    clips = Tokens(tokens=tokens, labels=labels, first=0, videos=videos)
    found = fitted(settings, clips).scores(tokens)

    # The clips of v0 are left out to choose, and 1e-6 learns nothing
    head = AttentiveHeads(AttentiveConfig(num_heads=2, self_blocks=1), 6, 3)
    key = int(hash64(4, Purpose.HEAD_INIT)) % 2**63
    head.initialise(torch.Generator().manual_seed(key))
    matrices = [p for p in head.parameters() if p.ndim > 2]
    vectors = [p for p in head.parameters() if p.ndim <= 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)

    rest = np.flatnonzero([video != "v0" for video in videos])
    step = 0
    for epoch in range(4):
        order = rest[choice(hash64(4, Purpose.ONLINE_PROBE, epoch), len(rest))]
        for start_at in range(0, len(order), 32):
            members = torch.from_numpy(order[start_at : start_at + 32])
            for group in optimizer.param_groups:
                group["lr"] = 3e-2 * 0.5 * (1 + np.cos(np.pi * step / 8))
            loss = torch.nn.functional.cross_entropy(head(tokens[members])[0], labels[members])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    assert step == 8
    expected = head(tokens)[0].softmax(-1).detach()
    assert torch.allclose(found, expected, atol=1e-4)
    assert (found - 1 / 3).abs().max() > 0.1, "it has learned something"


def test_a_fifth_of_the_videos_is_left_out_to_choose_by() -> None:
    videos = [f"v{i // 3}" for i in range(18)]
    left_out = left_out_clips(videos, 2)
    assert {videos[i] for i in np.flatnonzero(left_out)} == {"v0", "v5"}
    assert not left_out_clips(videos, 1).any() and not left_out_clips(["v"] * 4, 3).any()


def as_rank(folder: str, out: str, readout: str) -> None:
    """Measure as one of several ranks, and keep it."""
    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    made = probe(Path(folder), rank_info, readout=readout, clips=37, epochs=4)
    found: list[Any] = []
    usual: Callable[..., Any] = getattr(made, f"_{readout}")
    noted = lambda *given: found.append(usual(*given)) or found[0]  # noqa: E731
    object.__setattr__(made, f"_{readout}", noted)
    values = measure(made)
    names, outputs = found[0]
    kept = {"values": values, "names": [str(name) for name in names], "outputs": outputs.tolist()}
    Path(f"{out}.{rank_info.rank}").write_text(json.dumps(kept))


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["linear", "attentive"])
def test_two_ranks_are_one(folder: Path, tmp_path: Path, readout: str) -> None:
    for world_size in (1, 2):
        ranks = start_ranks(
            as_rank, world_size, (str(folder), str(tmp_path / str(world_size)), readout)
        )
        assert finish(ranks, 300) == [0] * world_size
    one, first, second = (
        json.loads((tmp_path / name).read_text()) for name in ("1.0", "2.0", "2.1")
    )
    assert first == second and one["names"] == first["names"]
    assert np.allclose(one["outputs"], first["outputs"], atol=1e-5)
    assert one["values"] == pytest.approx(first["values"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["linear", "attentive"])
def test_a_pretraining_reports_it(folder: Path, tmp_path: Path, readout: str) -> None:
    corpus = shutil.copytree(folder / "shards", tmp_path / "shards")
    settings = {
        "task": str(folder / "phases.yaml"), "labels": str(folder / "labels"), "corpus": str(corpus),
        "clips": 24, "test_clips": 16, "every_steps": 2, "readout": readout, "epochs": 2,
    }  # fmt: skip
    words = [word for word in SMALL if not word.startswith("run_dir")]
    words += [f"data.corpus={folder / 'shards'}", f"run_dir={tmp_path / 'run'}", "max_steps=3"]
    words.append(f"probe={json.dumps(settings)}")
    ranks = start(
        ["pretrain", "configs/pretrain/surgrec_mae_tiny.yaml", *words], 2, tmp_path / "log"
    )
    assert finish(ranks, 300) == [0, 0], (tmp_path / "log.rank0").read_text()
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    probed = [line for line in lines if "probe/image_accuracy" in line]
    assert [line["step"] for line in probed] == [2, 3]
    for line in probed:
        assert (
            0 <= line["probe/image_accuracy"] <= 1
            and 0 < line["probe/image_accuracy_of_constant"] < 1
        )
