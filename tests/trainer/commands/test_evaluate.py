"""`surgstream evaluate` from files to files."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from surgstream.launch.__main__ import main
from surgstream.trainer.evaluation.predictions.stored import (
    PredictedVideo,
    Predictions,
    write_predictions,
)
from surgstream.trainer.evaluation.tasks.loading import find_task
from tests.trainer.evaluation.made_up import scores

TASK = find_task("cholec80_phases")
TRAIN, TEST = TASK.videos("train"), TASK.videos("test")


def length(video: str) -> int:
    return 40 + int(video[-2:])


def truth(video: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Four of the phases, each for a quarter of the video."""
    return np.arange(length(video)) * 4 // length(video)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labels as `surgstream labels cholec80` makes it, of the training and the test videos."""
    root = tmp_path_factory.mktemp("labels")
    write_labels(root, (*TRAIN, *TEST))
    return root


def write_labels(root: Path, videos: tuple[str, ...]) -> None:
    folder = root / "cholec80" / "phase"
    folder.mkdir(parents=True)
    for video in videos:
        rows = [f"{second},{TASK.classes[label]}" for second, label in enumerate(truth(video))]
        (folder / f"{video}.csv").write_text("\n".join(["second,phase", *rows]) + "\n")


def predicted(errors: float, seed: int, videos: tuple[str, ...] = TEST) -> Predictions:
    found = {}
    for number, video in enumerate(videos):
        logits = scores(truth(video), errors, 100 * seed + number)
        padded = np.concatenate([logits, np.full((len(logits), 3), -5.0)], 1)
        found[video] = PredictedVideo(seconds=np.arange(float(len(logits))), scores=padded)
    return Predictions(where="", classes=TASK.classes, videos=found, about={"weights": "w"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictions")
    for seed in range(2):
        write_predictions(folder / f"seed{seed}.npz", predicted(0.1, seed))
    (folder / "majority.csv").write_text("".join(constant_lines()))
    return folder


def constant_lines() -> Iterator[str]:
    yield "video,frame,label\n"
    for video in TEST:
        for second in range(length(video)):
            yield f"{video},{25 * second},preparation\n"


def test_predictions_and_labels_become_a_table_a_page_and_json(
    labels: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [f"ours={files}/seed0.npz", f"ours={files}/seed1.npz", f"{files}/majority.csv"]
    words = ["evaluate", "cholec80_phases", *models, "--labels", str(labels), "--fps", "25"]
    assert main([*words, "--compare", "--out", str(tmp_path / "out")]) == 0

    printed = capsys.readouterr().out
    table = (tmp_path / "out" / "table.md").read_text()
    assert printed.startswith(table) and "| ours (2 seeds) | majority (constant) |" in table
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Cholec80: phases" in page and "Ribbons" in page

    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["num_videos"] == 35 and result["num_rows"] == sum(map(length, TEST))
    ours, majority, *yardsticks = result["rows"]
    assert ours["values"]["image_accuracy"]["value"] == pytest.approx(0.9, abs=0.03)
    assert ours["about"] == {"weights": "w"} and len(ours["files"]) == 2
    assert majority["values"]["video_accuracy"]["value"] == pytest.approx(0.25, abs=0.01)
    assert [row["name"] for row in yardsticks] == ["constant", "chance", "time alone"]
    (verdict,) = [each for each in result["comparisons"] if each["metric"] == "phase_jaccard"]
    assert verdict["says"] == "worse" and verdict["p"] < 1e-6
    assert len(result["labels_sha256"]) == 64


def test_without_training_labels_the_yardsticks_that_need_them_say_so(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(tmp_path, TEST)
    words = ["evaluate", "cholec80_phases", f"{files}/seed0.npz", "--labels", str(tmp_path)]
    assert main(words) == 0
    page = capsys.readouterr().out
    assert "labels of the training videos are not at hand" in page
    assert "*constant*" not in page and "*chance, all classes alike*" in page


def test_a_video_without_a_labelled_row_is_passed_over_to_train_and_an_error_to_test(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(tmp_path, (*TRAIN, *TEST))
    words = ["evaluate", "cholec80_phases", f"{files}/seed0.npz", "--labels", str(tmp_path)]
    of_video = tmp_path / "cholec80" / "phase"
    (of_video / f"{TRAIN[0]}.csv").write_text("second,phase\n")
    assert main(words) == 0 and "*time alone*" in capsys.readouterr().out

    (of_video / f"{TEST[0]}.csv").write_text("second,phase\n")
    assert main(words) == 1
    assert f"{tmp_path}: {TEST[0]}: expected labelled rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["cholec80_fases", "{p}/seed0.npz"], 2, "did you mean 'cholec80_phases'?"),
        (["esd57_phases", "{p}/seed0.npz"], 2, "one of published values alone"),
        (["cholect45_triplets", "{p}/seed0.npz"], 2, "write cholect45_triplets@FOLD with one of"),
        (["polypdiag", "{p}/seed0.npz"], 2, "expected a task with a split"),
        (["cholec80_phases", "{p}/majority.csv"], 1, "give it by --fps"),
        (["cholec80_phases", "{p}/none.csv"], 1, "none.csv: No such file"),
        (["cholec80_phases", "{p}/seed0.npz", "--split", "val"], 1, "video33.csv: expected a CSV"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    words: list[str],
    status: int,
    message: str,
    labels: Path,
    files: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [word.replace("{p}", str(files)) for word in words]
    assert main(["evaluate", *filled, "--labels", str(labels)]) == status
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["one/p.csv", "two/p.csv"],
            "one/p.csv: expected a name, as p is another file's; write NAME=",
        ),
        (["p=one/q.csv", "p.csv"], "p.csv: expected a name"),
        (["one/p.csv", "--compare"], "--compare: expected several models, got p alone"),
        (["p=one/p.csv", "p=two/p.csv", "--compare"], "expected several models, got p alone"),
        (["p="], "expected NAME=FILE, got 'p='"),
    ],
)
def test_files_are_seeds_of_one_model_only_where_the_words_say_so(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["evaluate", "cholec80_phases", "--labels", "labels", *words])
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_it_needs_neither_torch_nor_dali_nor_a_display(labels: Path, files: Path) -> None:
    heavy = ("torch", "nvidia", "timm", "deepspeed", "av", "cv2", "boto3", "matplotlib")
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({heavy}));"
        "from surgstream.launch.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["evaluate", "cholec80_phases", f"{files}/seed0.npz", "--labels", str(labels)]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "**phase_jaccard, %**" in done.stdout
