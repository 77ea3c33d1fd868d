"""`benchmarks/gpu.sh` where no GPU is: the parts that need none, how a part ends, and what the report says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from surgstream.benchmarks.gpu import suite, training
from surgstream.benchmarks.gpu.__main__ import chosen, find, run_part
from surgstream.benchmarks.gpu.parts import CPU_PARTS, GROUP_SECONDS, GROUPS, Part
from surgstream.benchmarks.gpu.predictions import PREDICTIONS, Prediction
from surgstream.benchmarks.gpu.report import render

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"
PARTS = [part for parts in GROUPS.values() for part in parts]


def gpu_sh(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run it from another folder, as on a machine that has the packages and no installed surgstream."""
    environment = os.environ | {"PYTHON": sys.executable}
    command = [str(SCRIPT), *words]
    return subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, timeout=1500
    )


@pytest.mark.slow
def test_the_parts_that_need_no_gpu_find_what_they_should(tmp_path: Path) -> None:
    done = gpu_sh(str(tmp_path), "--cpu")
    assert done.returncode == 0, done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert (tmp_path / "findings.jsonl").read_text() == done.stdout
    assert list(dict.fromkeys(line["part"] for line in found)) == [part.name for part in CPU_PARTS]

    assert [line["largest_difference"] for line in found if line.get("what") == "regions"] == [0]
    assert [line["failed_images"] for line in found if "failed_images" in line] == [0, 0]
    stages = [
        line["stage"]
        for line in found
        if line.get("recipe") == "surgvista_tiny" and "stage" in line
    ]
    assert stages == [1, 2, 3]
    assert all(line["finite"] for line in found if "finite" in line)
    assert [line["read_at_stage_2"] for line in found if "read_at_stage_2" in line] == [True, True]
    assert {"targets_ms", "forward_ms", "backward_ms", "optimizer_ms"} <= {
        key for line in found for key in line
    }
    page = (tmp_path / "report.md").read_text()
    assert "## surgvista" in page and "redict" not in page, "no GPU's predictions for a CPU"


@pytest.mark.parametrize(
    ("code", "failed", "found"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV: ", []),
        ("import os; os._exit(3)", "exit status 3: ", []),
        (
            "import time; print('{\"a\": 1}', flush=True); print('{\"b\": ', flush=True); time.sleep(60)",
            "stopped after 1 s: ",
            [{"a": 1}],
        ),
    ],
    ids=["crashes", "fails", "hangs after half a line"],
)
def test_what_was_found_before_the_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, failed: str, found: list[Any]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(code)  # runs before any module
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    *findings, last = run_part(Part("odd", 60, "launch"), 1, tmp_path, cpu=True)
    assert findings == found
    assert last["failed"].startswith(failed) and last["limit"] == 60


def test_a_part_that_lacks_something_is_skipped_and_says_what(tmp_path: Path) -> None:
    part = Part("odd", 60, "launch", needs=("json", "nowhere.to_be_found"))
    (skipped,) = find(part, 60, tmp_path, cpu=True)
    assert skipped["skipped"].startswith("needs nowhere.to_be_found, ")
    (late,) = find(Part("odd", 60, "launch"), 3, tmp_path, cpu=True)
    assert late["skipped"] == "no time was left"


def test_groups_fit_their_time_and_parts_exist() -> None:
    for parts in GROUPS.values():
        assert sum(part.seconds for part in parts) <= GROUP_SECONDS
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names) and not {*names} & {*GROUPS}
    assert {prediction.part for prediction in PREDICTIONS} <= {*names}
    for part in (*PARTS, *CPU_PARTS):
        place = ROOT / part.module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


def test_parts_for_a_lent_gpu_need_neither_dali_nor_boto3_nor_opencv() -> None:
    modules = {part.module for group in ("first", "second", "gains") for part in GROUPS[group]}
    absent = ("nvidia.dali", "boto3", "botocore", "cv2", "av", "transformers")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent}))\n" + "\n".join(
        f"import surgstream.{module}" for module in sorted(modules)
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_choose_parts_in_their_own_order() -> None:
    def names(*words: str, cpu: bool = False) -> list[str] | str:
        parts = chosen(words, cpu=cpu)
        return parts if isinstance(parts, str) else [part.name for part in parts]

    assert names("hang", "jpeg") == ["jpeg", "hang"]
    assert names("second", "machine")[:2] == ["machine", "phase2_compiled"]
    assert names() == [part.name for part in PARTS]
    assert names("soup").startswith("NAME: expected groups or parts of first (machine, engine, ")


def test_a_name_is_no_folder_and_a_machine_without_a_gpu_is_told() -> None:
    for words, said in (
        (["first"], "OUT: expected a folder, got the name first; write gpu.sh OUT first"),
        (["out"], "expected a GPU, got none; --cpu runs"),
        (["out", "soup"], "NAME: expected groups or parts"),
    ):
        done = gpu_sh(*words)
        assert done.returncode == 2 and said in done.stderr and not Path("/out").exists()


def test_what_other_calls_found_stays(tmp_path: Path) -> None:
    kept = {"part": "jpeg", "images_per_s": 7}
    again = {"part": "attention", "attention": "old"}
    (tmp_path / "findings.jsonl").write_text(f"{json.dumps(kept)}\n{json.dumps(again)}\n")
    assert gpu_sh(str(tmp_path), "attention", "--cpu", "--seconds", "5").returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "findings.jsonl").read_text().splitlines()]
    skipped = {"part": "attention", "skipped": "no time was left", "limit": 300}
    assert lines == [kept, skipped]
    assert "images_per_s 7" in (tmp_path / "report.md").read_text()


def test_every_recipe_that_a_part_names_can_be_loaded() -> None:
    loaded = 0
    for part in PARTS:
        if part.module == "benchmarks.gpu.step":
            recipe, *words = (word for word in part.words if not word.startswith("--"))
            training.load_recipe(recipe, words)
        elif part.words[:1] == ("bench",) and "decode" not in part.words:
            (recipe,) = (
                word.removeprefix("--recipe=") for word in part.words if "--recipe" in word
            )
            overrides = [word for word in part.words if "=" in word and not word.startswith("--")]
            training.load_recipe(recipe, overrides)
        else:
            continue
        loaded += 1
    assert loaded > 8


def test_the_report_sets_predictions_beside_what_was_measured() -> None:
    findings = [
        {"part": "mae", "clips_per_s": 1000.0},
        {"part": "mae", "seconds": 31.0, "limit": 50},
        {"part": "machine", "from_host_gb_per_s": 9.0, "pinned": False},
        {"part": "machine", "seconds": 3.0, "limit": 20, "printed": "a table"},
        {"part": "jpeg", "seconds": 3.0, "limit": 60, "failed": "ended by SIGSEGV: a | b\nc"},
        {"part": "tests", "limit": 60, "skipped": "needs nvidia.dali"},
    ]
    page = render("Today.", findings)
    assert "| mae | clips/s of a GPU | 1100 to 1500 | 1000 | below |" in page
    assert "| machine | GB/s from pageable memory | 6 to 10 | 9 | as predicted |" in page
    assert "| machine | GB/s from pinned memory | at least 22 | not measured |  |" in page
    assert "| jpeg | 3 of 60 | failed: ended by SIGSEGV: a \\| b c |" in page
    assert "| tests |  | skipped: needs nvidia.dali |" in page
    assert "## machine\n\n- from_host_gb_per_s 9.0, pinned false\n\n```\na table\n```" in page


def test_a_prediction_is_held_against_the_finding_that_it_means() -> None:
    prediction = Prediction(part="a", key="x", what="", low=1, high=2, where={"of": "b"})
    findings = [
        {"part": "c", "x": 1, "of": "b"},
        {"part": "a", "x": 2},
        {"part": "a", "x": 3, "of": "b"},
    ]
    assert prediction.measured(findings) == 3
    assert prediction.measured(findings[:2]) is None


def test_the_files_of_gpu_tests_are_found_the_risky_ones_last() -> None:
    files = suite.files_with_gpu_tests()
    assert files[-2:] == list(suite.RISKY) and len(files) > 4
    assert all((ROOT / file).is_file() for file in files)


def test_shellcheck_has_nothing_against_the_script() -> None:
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    assert shellcheck
    found = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True)
    assert not found.returncode, found.stdout
