import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.handmade import write_corpus

RECIPES = Path(__file__).parent.parent.parent / "configs" / "pretrain"


def describe(*words: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", "launch", "describe", *words], capture_output=True, text=True, timeout=120, check=True
    )
    tree: dict[str, Any] = json.loads(ended.stdout)  # and nothing else on stdout
    return tree


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return describe(str(RECIPES / "surgvista_vitb.yaml"), "--world-size", "8", f"data.corpus={folder}")


def test_the_published_recipe_has_the_published_numbers(published: dict[str, Any]) -> None:
    parameters = published["parameters"]
    assert parameters["encoder"] == 87_431_424
    assert parameters["total"] == 100_858_624
    assert parameters["trainable"] == 98_450_176
    assert published["tokens"] == {"clip": 1568, "visible": 240, "masked": 1328}
    assert published["batch"] == {"global": 2048, "micro": 64, "grad_accum_steps": 4, "world_size": 8}
    assert published["peak_lr"] == pytest.approx(1.2e-3)


def test_operations_are_those_of_the_published_cost(published: dict[str, Any]) -> None:
    """492 GMAC a clip for the teacher, 158 for the student forward and backward; two operations a MAC."""
    flops = published["flops_per_clip"]
    student = flops["encoder"] + flops["reconstruction_decoder"] + flops["distillation_decoder"]
    assert flops["teacher"] / 2e9 == pytest.approx(492, abs=1)
    assert student / 2e9 == pytest.approx(158, rel=0.05)
    assert flops["total"] == student + flops["teacher"]


def test_memory_is_that_of_weights_and_activations(published: dict[str, Any]) -> None:
    weights, teacher = 4 * 98_450_176 / 2**30, 4 * 303_299_584 / 2**30
    kept = 64 * 34 * (240 * 768 * 12 + 1568 * 384 * (4 + 2)) / 2**30  # 34 bytes a token, unit of width and block
    expected = {
        "parameters": weights,
        "gradients": weights,
        "optimizer": 3 * weights / 8,
        "targets": teacher,
        "activations": kept,
        "total": (2 + 3 / 8) * weights + teacher + kept,
    }
    assert published["memory_gib"] == pytest.approx(expected, abs=6e-4)


def test_steps_and_clips_follow_from_the_corpus(published: dict[str, Any]) -> None:
    clips = published["clips"]["corpus"]
    assert clips == sum(dataset["clips"] for dataset in published["datasets"])
    assert published["clips"]["epoch"] == clips
    assert published["steps"]["run"] == -(-200 * clips // 2048)
    assert published["lanes_cover_the_batch"] is False


def test_a_corpus_out_of_reach_leaves_the_rest(tmp_path: Path) -> None:
    tree = describe(str(RECIPES / "surgvista_tiny.yaml"), f"data.corpus={tmp_path}")
    assert tree["corpus"] is None and "manifest.json" in tree["corpus_error"]
    assert tree["parameters"]["total"] > 0 and tree["batch"]["world_size"] == 1
