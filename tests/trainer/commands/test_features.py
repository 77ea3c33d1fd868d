"""`surgstream features`, as a user calls it."""

from pathlib import Path

import numpy as np
import pytest

from surgstream.launch.__main__ import main
from tests.helpers.labelled import write_labelled, write_task
from tests.helpers.packing import contents

SMALL = ("encoder.num_frames=2", "encoder.image_size=16", "micro_batch_size=4")


def features(*words: object) -> int:
    return main(["features", *map(str, words), *SMALL])


def test_a_task_s_rows_get_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, labels = write_labelled(tmp_path)
    task = write_task(tmp_path, "phases")
    out = tmp_path / "features"
    words = ("pixels", corpus, out, "--task", task, "--labels", labels, "dtype=float32")
    assert features(*words) == 0
    (place,) = capsys.readouterr().out.splitlines()
    assert sorted(contents(Path(place))) == [
        "about.json", "knee/knee-000000.npy", "knee/knee-000001.npy", "knee/knee-000002.npy",
    ]  # fmt: skip
    stored = np.load(Path(place) / "knee" / "knee-000001.npy")
    assert stored["feature"].dtype == np.float32 and len(stored) == 13 + 12

    before = contents(out)
    assert features(*words) == 0
    assert contents(out) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["per=all"], "per: expected one of"),
        (["clips.stride=2"], "clips.stride: expected null without a task"),
        (["datasets=[hip]"], "datasets: expected some of knee, other, got 'hip'"),
        (["rows_per_second=0.7"], "expected"),
        (["--labels", "labels"], "labels: expected none where there is no task"),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    corpus, _ = write_labelled(tmp_path)
    assert features("pixels", corpus, tmp_path / "out", *words) == 2
    assert sentence in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.npy"))
