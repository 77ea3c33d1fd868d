"""Whatever stands in labels, recipes and logs: an error of that room which names the file, or a sound value."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load, to_tree
from surgstream.launch.scaling import plot, read_results, table
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.corpus.labels import read_labels
from surgstream.shards.errors import VideoError
from surgstream.shards.format.review import load_review
from surgstream.shards.storage.stores import Stores
from surgstream.trainer.commands.status_page import show
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.metrics import cut_log
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.runs.state import read_run
from tests.fuzz.damage import TEXTS, altered, cases, damaged

RECIPE = Path("configs/pretrain/surgvista_tiny.yaml")
CORPUS = b"""\
datasets:
  - &a {name: d, specialty: s, procedure: p, videos: ["v/*.mp4", b.mp4], hold_out: [x], labels: {phase: "{video}.csv"}}
  - {name: e, specialty: s, procedure: p, videos: c.mp4, licence: null, expected: {videos: 1, frames: 9, hours: 0.5}}
subsets: {A: [d], B: [d, e]}
pack: {fps: 2.5, short_side: 64, segment_frames: 8, shard_bytes: 1_000_000, workers: 1}
"""
REVIEW = b"""\
dataset,video,start,stop,decision,remark
d,v,0,31.5,drop,"a wall, and a door"
d,w,1e2,200,keep,
"""
LABELS = b'second,phase,tools\n0,rest,\n2.5,cut,"hook, grasper"\n9,rest,"a ""b"""\n'

WORDS = [
    "&a ",
    "*a",
    "<<: *a",
    "!!map x",
    "!!set {a}",
    "!!omap [a: 1]",
    "!!binary a",
    "!!timestamp x",
    "!!int ''",
]
WORDS += [
    "!!python/name:os",
    "-0x" + "f" * 6000,
    "0b_",
    "12:30:00",
    ".nan",
    "-.inf",
    "1e400",
    "2026-99-99",
    "no",
]
WORDS += [
    '"\\ud800"',
    "? [a]",
    "? ",
    "- ",
    ": ",
    "|",
    "{",
    "[" * 500,
    "\t",
    "%",
    "\n---\n",
    "\x85",
    "\ufeff",
    "@",
    "`",
]
WORDS += ["''", "\n", "k: 1\n" * 3]


@st.composite
def yamls(draw: st.DrawFn, data: bytes) -> bytes:
    """Damaged bytes, YAML with odd words put in, or other keys and values."""
    match draw(st.sampled_from(["bytes", "words", "tree"])):
        case "bytes":
            return draw(damaged(data))
        case "tree":
            tree = draw(altered(yaml.safe_load(data)))
            return json.dumps(tree).encode()  # YAML in another hand
        case _:
            text = data.decode()
            for word in draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)):
                at = draw(st.integers(0, len(text)))
                text = text[:at] + word + text[at:]
            return text.encode()


def check_config(
    cls: type[CorpusConfig] | type[TaskConfig] | type[TrainConfig], path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    try:
        config = load(cls, path)
    except ConfigError as error:
        assert str(path) in str(error) and len(str(error)) < 30_000
        return
    path.write_text(json.dumps(to_tree(config), allow_nan=False))
    assert load(cls, path) == config


@given(st.data())
@cases(200)
def test_corpus_files(tmp_path: Path, data: st.DataObject) -> None:
    check_config(CorpusConfig, tmp_path / "corpus.yaml", data.draw(yamls(CORPUS)))


@given(st.data())
@cases(150)
def test_reviews(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes(data.draw(damaged(REVIEW)))
    try:
        review = load_review(str(path), Stores())
    except ConfigError as error:
        assert str(error).startswith("review: ") and len(str(error)) < 3000
        return
    assert all(
        0 <= each.start < each.stop < math.inf
        for decisions in review.values()
        for each in decisions
    )


@given(st.data())
@cases(150)
def test_recipes(tmp_path: Path, data: st.DataObject) -> None:
    check_config(TrainConfig, tmp_path / "recipe.yaml", data.draw(yamls(RECIPE.read_bytes())))


@pytest.mark.parametrize("many", ["{}: 1\n", "- {}\n", "a{}: &a{} 1\n"])
def test_long_files_are_read_in_time(tmp_path: Path, many: str) -> None:
    (tmp_path / "a.yaml").write_text("".join(many.format(n, n) for n in range(10_000)))
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        load(CorpusConfig, tmp_path / "a.yaml")


@given(st.data())
@cases(200)
def test_labels(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "labels.csv"
    words = st.lists(
        st.sampled_from(
            ["second", "phase", "tools", ",", "\n", '"', "nan", "1e999", "-1", "0", *TEXTS[8:]]
        )
    )
    content = data.draw(
        damaged(LABELS) | words.map(lambda some: "".join(some).encode(errors="surrogatepass"))
    )
    path.write_bytes(content)
    try:
        labels = read_labels({"phase": str(path), "tools": str(path)}, Stores())
    except VideoError as error:
        assert str(path) in str(error)
        return
    for rows in labels.rows.values():
        assert all(math.isfinite(second) and isinstance(text, str) for second, text in rows)


@given(st.data())
@cases(150)
def test_logs(tmp_path: Path, data: st.DataObject) -> None:
    """What a killed run left in its logs is kept up to the first line that it cannot have written."""
    path = tmp_path / "quarantine.jsonl"
    lines = [json.dumps({"g": g, "video": "v"}) + "\n" for g in range(20)]
    path.write_bytes(data.draw(damaged("".join(lines).encode())))
    path.write_bytes(
        path.read_bytes()
        + data.draw(st.sampled_from([b"", b"[]\n", b'{"g": "x"}\n', b"[" * 3000, b"1\n"]))
    )
    cut_log(path, "g", keep_below=10)
    assert all(json.loads(line)["g"] < 10 for line in path.read_text().splitlines())


REPORT = {
    "step": 40, "time": 5e8, "progress/last_step": 80, "progress/epoch": 0.5, "progress/clips": 640,
    "throughput/clips_per_second": 9.5, "data/wait_seconds": 0.1, "time/step_seconds": 1.5, "time/slowest_rank": 1,
    "time/slowest_host": "node2", "time/slowest_over_median": 1.5, "loss/total": 0.5, "loss/total_of_mean": 1,
    "data/retries_timeout": 2.0, "held_out/total": 0.5,
}  # fmt: skip
JOB = {"time": 4e8, "job": "7", "restart": 1, "nodes": "node[1-2]", "checkpoint": "", "end": 9e8}
EXCLUDED = {"time": 4e8, "job": "7", "excluded": "node2", "reason": "task 1: Killed", "until": 9e8}
FILES = {
    "metrics.jsonl": [{**REPORT, "step": step, "time": 5e8 + step} for step in (20, 40, 60)],
    "jobs.jsonl": [JOB, EXCLUDED, JOB],
    "environment.json": [{"world_size": 2, "device": "H800"}],
    "FAILED": ["why"],
}


@given(st.data())
@cases(200)
def test_run_directories_that_are_watched(tmp_path: Path, data: st.DataObject) -> None:
    for name, lines in FILES.items():
        whole = data.draw(st.just(lines) | altered(lines))
        text = "".join(json.dumps(line) + "\n" for line in whole).encode()
        (tmp_path / name).write_bytes(data.draw(st.just(text) | damaged(text)))
    run = read_run(tmp_path, now=5.1e8)
    assert "\x1b" not in show([run]) + show([run, run])


RESULT = {
    "format": 1, "time": 1.0, "num_nodes": 1, "world_size": 8, "decode": True, "corpus": {"sha256": "133f5211ec5c5db4"},
    "total": {"clips_per_second": 9, "gigabytes_per_second": 1, "requests_per_second": 2, "retries": {"timeout": 1}},
    "nodes": [{"clips_per_second": 9}],
}  # fmt: skip


@given(altered(RESULT).map(json.dumps).map(str.encode) | damaged(json.dumps(RESULT).encode()))
@cases(200)
def test_results_of_the_loader(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "loader.json").write_bytes(content)
    try:
        results = read_results(tmp_path)
    except ConfigError as error:
        assert "loader.json" in str(error) and len(str(error)) < 2000
        return
    ElementTree.fromstring(plot(results))
    assert "\x1b" not in table(results)
