"""Whatever stands in tasks and in files of labels: an error that names the file, or a sound value."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import LabelError
from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.shards.labels.files import LabelFiles
from surgstream.shards.labels.values import LabelValues
from surgstream.shards.storage.stores import Stores
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from tests.fuzz.damage import cases, damaged
from tests.fuzz.test_files import check_config, yamls

TASK = b"""\
name: t
version: 1
title: "T: phases"
dataset: d
kind: class
labels: {files: "d/phase/{video}.csv", column: phase}
classes: [a/b, a/c]
null_classes: [a/c]
components: [verb, target]
late: {a/b: [a/c]}
split: {train: ["v[1-4]"], test: ["v[6,8-9]_[1-2]"], source: ours}
groups: {Ann: ["v[1-2]"]}
metrics: [phase_jaccard]
main: phase_jaccard
published: [{model: m, source: s, protocol: p, values: {phase_jaccard: 5.5}, num_rows: 8, caveats: [a]}]
caveats: {a: Small.}
aliases: {e: "VID{n} = v{n}"}
"""
FRAMES = b"second,phase\n0,rest\n2.5,\n1e1,cut\n"
VIDEOS = b"video,phase,group\nv,rest,Ann\nw,,\n"
PHASES = LabelValues(kind="class", classes=("rest", "cut"))


@given(st.data())
@cases(150)
def test_tasks(tmp_path: Path, data: st.DataObject) -> None:
    check_config(TaskConfig, tmp_path / "task.yaml", data.draw(yamls(TASK)))


@given(st.data(), st.sampled_from([("{video}.csv", FRAMES), ("v.csv", VIDEOS)]))
@cases(200)
def test_label_files(tmp_path: Path, data: st.DataObject, kind: tuple[str, bytes]) -> None:
    name, content = kind
    (tmp_path / "v.csv").write_bytes(data.draw(damaged(content)))
    config = LabelFilesConfig(files=name, column="phase")
    labels = LabelFiles(config, PHASES, str(tmp_path), Stores())
    try:
        rows = labels.rows("v")
    except LabelError as error:
        assert "v.csv" in str(error) and len(str(error)) < 3000
        return

    assert (np.diff(rows.seconds) > 0).all() and np.isfinite(rows.seconds).all()
    assert set(rows.truth.tolist()) <= {0, 1}
