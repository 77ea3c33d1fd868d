"""What `surgstream describe` counts, and how it reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.loading import load
from surgstream.launch.__main__ import main
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer import estimates
from surgstream.trainer.commands.describe import NO_TORCH
from surgstream.trainer.commands.describe import describe as describe_here
from surgstream.trainer.commands.describing.table import table
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.model_sizes import ModelSizes, count_sizes
from surgstream.trainer.objectives import choice
from tests.helpers.handmade import LAYOUT, write_corpus
from tests.shards.reading.test_frame_table import made_up

RECIPES = Path(__file__).parents[3] / "configs" / "pretrain"


BEGINNING = Progress(step=0, clips_seen=0, state={})


def describe(*words: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", "surgstream", "describe", "--json", *words],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    tree: dict[str, Any] = json.loads(ended.stdout)  # and nothing else on stdout
    return tree


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, fps=1)
    words = ["--world-size", "8", "--tflops", "200", f"data.corpus={folder}"]
    return describe(str(RECIPES / "surgvista_vitb.yaml"), *words)


@pytest.mark.slow
def test_the_published_recipe_has_the_published_numbers(published: dict[str, Any]) -> None:
    parameters = published["parameters"]
    assert parameters["encoder"] == 87_431_424
    assert parameters["total"] == 100_858_624
    assert parameters["trainable"] == 98_450_176
    assert published["tokens"] == {"clip": 1568, "visible": 240, "masked": 1328}
    assert published["batch"] == {
        "global": 2048,
        "micro": 64,
        "grad_accum_steps": 4,
        "world_size": 8,
    }
    assert published["peak_lr"] == pytest.approx(1.2e-3)


def test_what_masks_leave_out_is_neither_seen_nor_predicted(tmp_path: Path) -> None:
    """V-JEPA cuts the masks of a micro-batch to the shortest, which drops about a quarter of the tokens."""
    tree = describe_here(
        load(TrainConfig, RECIPES / "surgrec_jepa_vitl.yaml", [f"data.corpus={tmp_path}"]), 8
    )
    assert tree["tokens"] == {"clip": 1568, "visible": 228, "masked": 928}
    assert "1,568 tokens: the encoder sees 228, and 928 are predicted" in table(tree)


@pytest.mark.slow
def test_operations_are_those_of_the_published_cost(published: dict[str, Any]) -> None:
    """492 GMAC a clip for the teacher, 158 for the student forward and backward; two operations a MAC."""
    flops = published["flops_per_clip"]
    student = flops["encoder"] + flops["reconstruction_decoder"] + flops["distillation_decoder"]
    assert flops["teacher"] / 2e9 == pytest.approx(492, abs=1)
    assert student / 2e9 == pytest.approx(158, rel=0.05)
    assert flops["total"] == student + flops["teacher"]


def test_memory_is_that_of_weights_and_activations(published: dict[str, Any]) -> None:
    weights, teacher = 4 * 98_450_176 / 2**30, 4 * 303_299_584 / 2**30
    kept = (
        64 * 34 * (240 * 768 * 12 + 1568 * 384 * (4 + 2)) / 2**30
    )  # 34 bytes a token, unit of width and block
    expected = {
        "parameters": weights,
        "gradients": weights,
        "reduction": 0,
        "optimizer": 3 * weights / 8,
        "targets": teacher,
        "activations": kept,
        "total": (2 + 3 / 8) * weights + teacher + kept,
    }
    assert published["memory_gib"] == pytest.approx(expected, abs=6e-4)


def test_stages_shard_more_and_collect_gradients_in_buffers() -> None:
    found = {}
    for stage in (1, 2, 3):
        words = [f"parallel.zero_stage={stage}"]
        config = load(TrainConfig, RECIPES / "surgvista_tiny.yaml", words)
        model = ModelSizes(
            parameters={"trainable": 2**28},
            frozen_bytes=0,
            num_averaged=0,
            tokens={},
            flops={},
            activation_bytes=0,
        )
        found[stage] = estimates.memory(config, model, world_size=8)
        found[stage].pop("total")

    rest = {"optimizer": 3 / 8, "targets": 0, "activations": 0}
    assert found == {
        1: {"parameters": 1, "gradients": 1, "reduction": 0, **rest},
        2: {"parameters": 1, "gradients": 1 / 8, "reduction": 2, **rest},
        3: {"parameters": 1 + 1 / 8, "gradients": 1 / 8, "reduction": 1.5, **rest},
    }


def test_steps_and_clips_follow_from_the_corpus(published: dict[str, Any]) -> None:
    clips = published["clips"]["corpus"]
    assert clips == sum(dataset["clips"] for dataset in published["datasets"])
    assert published["clips"]["epoch"] == clips
    assert published["steps"]["run"] == -(-200 * clips // 2048)
    assert published["lanes_cover_the_batch"] is False


def test_a_rank_s_buffer_is_held_against_its_open_chunks(tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=1)
    words = [f"data.corpus={tmp_path}", "data.read.buffer_bytes=100000"]
    config = load(TrainConfig, RECIPES / "surgvista_vitb.yaml", words)
    small, many = (describe_here(config, world_size) for world_size in (1, 32))
    assert small["buffers"]["open_chunks"] == 32 * many["buffers"]["open_chunks"] > 100_000
    assert many["buffers"]["problem"] is None and "data.read.buffer_bytes" not in table(many)

    (warning,) = [text for text in small["warnings"] if text.startswith("read.buffer_bytes")]
    assert "set data.read.buffer_bytes=1048576" in warning
    assert "buffers     open chunks" in table(small) and "data.read.buffer_bytes=" in table(small)


def test_hours_are_operations_over_speed(published: dict[str, Any]) -> None:
    time, steps = published["time"], published["steps"]["run"]
    step_seconds = published["flops_per_clip"]["total"] * 2048 / (8 * 200e12)
    assert (
        published["flops_run"] == published["flops_per_clip"]["total"] * published["clips"]["run"]
    )
    assert time["step_seconds"] == pytest.approx(step_seconds)
    assert time["hours"] == pytest.approx(steps * step_seconds / 3600)
    assert time["gpu_hours"] == pytest.approx(8 * time["hours"])


@pytest.mark.parametrize(
    ("words", "minutes"),
    [
        ((), 30.0),
        (("checkpoint.every_minutes=null",), 100 * 2.0),
        (("checkpoint.every_steps=10",), 10 * 2.0),
    ],
)
def test_saves_come_by_steps_or_minutes(words: tuple[str, ...], minutes: float) -> None:
    config = load(
        TrainConfig,
        RECIPES / "surgrec_mae_vitb.yaml",
        ["clips_per_epoch=4096", "checkpoint.every_steps=100", *words],
    )
    plan = config.plan(num_clips=1, world_size=1, start=BEGINNING)
    found = estimates.time(
        config, 10**12, plan, world_size=1, tflops=2048 / 120
    )  # a step takes two minutes
    assert found["minutes_between_saves"] == pytest.approx(minutes)


def test_a_run_leaves_its_checkpoints_logs_and_audit() -> None:
    words = ["clips_per_epoch=64000", "epochs=16", "data.audit_log=true"]
    config = load(
        TrainConfig, RECIPES / "surgrec_jepa_tiny.yaml", [*words, "checkpoint.keep_every=5000"]
    )
    plan = config.plan(num_clips=1, world_size=1, start=BEGINNING)
    assert plan.last_step == 16_000
    model = count_sizes(config.objective)
    assert model
    found = estimates.disk(config, model, plan, audit_line_bytes=100.0)
    objective = choice.build_on_meta(config.objective)
    parts = objective.num_parameters()
    assert found["a_checkpoint"] == 4 * (3 * parts["trainable"] + parts["target_encoder"])
    assert found["checkpoints"] == found["a_checkpoint"] * (2 + 1 + 3), (
        "the last, one under way, every 5000th"
    )
    assert found["audit"] == 100 * 16_000 * 64
    assert (
        found["metrics"] == 800 * estimates.REPORT_BYTES
        and found["pictures"] == 80 * estimates.PICTURE_BYTES
    )
    assert found["total"] == sum(
        found[name] for name in ("checkpoints", "audit", "metrics", "pictures")
    )


def test_the_audit_log_has_the_corpus_names(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    config = load(TrainConfig, RECIPES / "surgvista_tiny.yaml", [f"data.corpus={tmp_path}"])
    tree = describe_here(config, 2)
    line = '{"g": 19200, "step": 1200, "rank": 1, "dataset": "cataract", "video": "v1", "anchor_frame": 10}'
    assert tree["disk_bytes"]["audit"] / tree["clips"]["run"] == pytest.approx(len(line), abs=4)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(1, 9), st.integers(1, 8))
def test_frames_that_are_repeated_are_counted_one_by_one(
    parts: list[int], num_frames: int, stride: int
) -> None:
    shown = [
        anchor - k * stride for part in parts for anchor in range(part) for k in range(num_frames)
    ]
    table = FrameTable(open_storage("."), made_up({"d": [[parts]]}), "of a manifest")
    found = estimates.repeated_share(table, "d", num_frames=num_frames, stride=stride)
    assert found == pytest.approx(sum(frame < 0 for frame in shown) / len(shown))


def test_a_table_knows_the_lengths_of_parts(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    frames = FrameTable.open(open_storage(str(tmp_path)))
    for dataset, shards in LAYOUT.items():
        expected = [count for videos in shards for parts in videos.values() for _, count in parts]
        assert frames.part_frames(dataset).tolist() == expected


def warnings(tmp_path: Path, *words: str) -> str:
    config = load(TrainConfig, RECIPES / "surgvista_tiny.yaml", [f"data.corpus={tmp_path}", *words])
    return "\n".join(describe_here(config, 1)["warnings"])


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (["global_batch_size=1040"], "a batch of 1,040 has each of the corpus' 104 clips 10.0 times"),
        (["global_batch_size=104", "data.order.open_chunks=8"], "lanes for batches of 104 clips"),
        (["epochs=10"], "cataract: each of its 93 clips is drawn 615 times, 200 times in SurgVISTA's recipe"),
        (
            ["data.order.weights={cataract: 1, knee: 9}", "data.order.warn_repeats_above=5"],
            "knee: its clips are drawn 8.5 times as often as an average clip",
        ),
        (["data.stride=9"], "knee: 70 % of the frames that its clips show are a clip's earliest one again"),
        (["optim.warmup_epochs=3"], "the warm-up of 19,200 clips is as long as the run of 19,200"),
        (["optim.warmup_epochs=2.999"], "the warm-up of 19,194 clips is as long as the run of 19,200"),
    ],
)  # fmt: skip
def test_what_a_small_corpus_is_short_of_is_warned_of(
    words: list[str], warning: str, tmp_path: Path
) -> None:
    write_corpus(tmp_path)
    assert warning in warnings(tmp_path, *words)


def test_a_corpus_that_suffices_is_not_warned_of(tmp_path: Path) -> None:
    write_corpus(
        tmp_path,
        {name: [{f"v{number}": [(0, 400)] for number in range(8)}] for name in ("hip", "knee")},
    )
    assert warnings(tmp_path) == ""


@pytest.mark.parametrize(("full_at", "is_said"), [(9_900, False), (9_901, True)])
def test_a_weight_that_is_not_whole_before_the_end_is_warned_of(
    full_at: int, is_said: bool
) -> None:
    words = [
        "data.corpus=nowhere", "global_batch_size=100", "micro_batch_size=50", "max_steps=100",
        "objective.context.from_clips=0", f"objective.context.full_at_clips={full_at}",
    ]  # fmt: skip
    config = load(TrainConfig, RECIPES / "vjepa21_tiny.yaml", words)
    said = [text for text in describe_here(config, 1)["warnings"] if "visible tokens" in text]
    assert bool(said) == is_said
    assert not said or "after 9,901 clips, the run ends after 10,000; lower objective" in said[0]


def test_the_table_fits_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As people read it, in 80 columns, with what is not known left out."""
    write_corpus(tmp_path, fps=1)
    recipe = str(RECIPES / "surgvista_vitb.yaml")
    words = ["data.audit_log=true", "clips_per_epoch=3550000", "--world-size=8"]
    assert main(["describe", recipe, f"data.corpus={tmp_path}", *words, "--tflops=200"]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    for words_of_it in (
        "encoder                  87,431,424         129.8",
        "each of 8 GPUs holds about 13.8 GiB",
        "2,048 clips: 8 x 64 at once x 4 accumulated",
        "16 frames at 1 a second, 4 apart: 60 s from the first to the last",
        "346,680 steps, 710,000,640 clips: 200 epochs of 3,550,000",
        "6.63 days, 1,273 GPU-hours",
        "up to 10 checkpoints of 1.2 GB",
        "audit log 70.3 GB",
        "cataract     93    89.4 %  6,826,929 x           73.1 %",
    ):
        assert words_of_it in page

    assert main(["describe", recipe, f"data.corpus={tmp_path / 'nowhere'}"]) == 0
    page = capsys.readouterr().out
    assert "a run       not known: " in page and "manifest.json" in page


def test_the_recipe_for_one_gpu_fits_it_and_an_afternoon() -> None:
    path, (fast, slow) = RECIPES / "surgrec_mae_vitb_one_gpu.yaml", (50, 35)
    small = describe_here(load(TrainConfig, path), 1, tflops=fast)
    large = describe_here(load(TrainConfig, path, ["micro_batch_size=256"]), 1, tflops=slow)
    assert small["memory_gib"]["total"] < 24 / 2 and large["memory_gib"]["total"] < 48 * 0.75
    assert small["steps"]["run"] == 10_000
    assert small["time"]["hours"] < large["time"]["hours"] < 5
    assert small["time"]["minutes_between_saves"] == 15 and large["batch"]["grad_accum_steps"] == 1

    said = path.read_text()
    for number in (
        f"{small['time']['hours']:.2f} hours where", f"{large['time']['hours']:.2f} where", "202 GFLOP",
        f"{small['memory_gib']['total']:.1f} GiB", f"{large['memory_gib']['total']:.1f} GiB",
    ):  # fmt: skip
        assert number in said
    assert round(small["flops_per_clip"]["total"] / 1e9) == 202


@pytest.mark.slow
def test_a_corpus_out_of_reach_leaves_the_rest(tmp_path: Path) -> None:
    tree = describe(str(RECIPES / "surgvista_tiny.yaml"), f"data.corpus={tmp_path}")
    assert tree["corpus"] is None and "manifest.json" in tree["corpus_error"]
    assert tree["parameters"]["total"] > 0 and tree["batch"]["world_size"] == 1
    assert tree["steps"]["run"] == 1200 and tree["clips"] == {
        "corpus": None,
        "epoch": 6400,
        "run": 19200,
    }
    assert tree["time"] is None


def test_without_torch_it_tells_what_needs_no_networks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a login node, which has the base install alone."""
    words = ["describe", "surgvista_tiny", "data.corpus=here", "--tflops", "100"]
    assert main([*words, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([*words, "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree.pop("model_error") == NO_TORCH
    assert tree.pop("time") is None
    assert tree.items() <= whole.items()
    assert {"steps", "clips", "saves", "batch", "clip", "warnings"} <= tree.keys()

    assert main(words) == 0
    page = capsys.readouterr().out
    assert "surgstream[train]" in page and "1,200 steps, 19,200 clips" in page


def test_nodes_tell_how_much_of_the_time_is_effective(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path, fps=1)
    corpus = f"data.corpus={tmp_path}"
    words = ["describe", "surgvista_vitb", corpus, "--nodes", "4", "checkpoint.every_steps=null"]
    assert main([*words, "checkpoint.every_minutes=100", "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["batch"]["world_size"] == 32
    found = tree["effective_time"]
    assert found["mttf_hours"] == pytest.approx(7.9 * 32)
    assert found["minutes_between_saves"] == 100
    assert 0.99 < found["ratio"] < found["best_ratio"] < 1

    assert main([*words, "checkpoint.every_minutes=100", "--mttf-hours", "1"]) == 0
    page = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["describe", "surgvista_vitb", corpus, "--mttf-hours", "1", "--gpus-per-node", "4"])
    assert "--gpus-per-node, --mttf-hours: expected --nodes as well" in capsys.readouterr().err
    assert "a failure every 1 hours that costs 330 s" in page
    assert "with the recipe's, one in 1.67 hours: 35.3 %" in page


def test_licences_that_a_run_would_be_refused_for_are_told(tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=5)
    words = [f"data.corpus={tmp_path}", "data.order.open_chunks=4"]
    recipe = RECIPES / "surgvista_tiny.yaml"
    plain = describe_here(load(TrainConfig, recipe, words), 1)
    assert not [each for each in plain["warnings"] if each.startswith("commercial")]

    tree = describe_here(load(TrainConfig, recipe, [*words, "commercial=true"]), 1)
    (warning,) = [each for each in tree["warnings"] if each.startswith("commercial")]
    assert f"knee of {tmp_path}" in warning and f"cataract of {tmp_path}" in warning

    stated = "commercial={required: true, stated: {knee: CC0-1.0, cataract: CC-BY-NC-4.0}}"
    tree = describe_here(load(TrainConfig, recipe, [*words, stated]), 1)
    (warning,) = [each for each in tree["warnings"] if each.startswith("commercial")]
    assert "knee" not in warning and "CC-BY-NC-4.0 forbids it" in warning
