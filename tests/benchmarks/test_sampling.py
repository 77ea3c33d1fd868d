"""The corpora that sampling is measured on, and the table that tells of it."""

import json
from pathlib import Path

import yaml

from surgstream.benchmarks.experiments.sampling import RARE, by_step, only, tables, with_few
from surgstream.shards.synthetic.config import SynthConfig
from surgstream.shards.synthetic.description import corpus_file
from surgstream.shards.synthetic.planning import plan


def test_one_video_of_the_rare_specialty_is_left_and_the_others_are_as_they_were() -> None:
    corpus = yaml.safe_load(corpus_file(plan(SynthConfig(times=3)), 3))
    few = {dataset["name"]: dataset for dataset in with_few(corpus)["datasets"]}
    rare = few.pop(RARE)
    assert rare["videos"] == [f"{RARE}/videos/{RARE}_01.mp4"] and not rare["hold_out"]
    assert few == {
        dataset["name"]: dataset for dataset in corpus["datasets"] if dataset["name"] != RARE
    }
    assert [dataset["name"] for dataset in only(corpus, rare=True)["datasets"]] == [RARE]
    assert only(corpus, rare=False)["datasets"] == list(few.values())


def test_the_tables_have_shares_of_the_means_loss(tmp_path: Path) -> None:
    lines = [
        {
            "step": step,
            "held_out/reconstruction": 1.0 / step,
            "held_out/reconstruction_of_mean": 0.5,
        }
        for step in (20, 40, 60, 80)
    ]
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in [{"step": 10}, *lines])
    )
    rows = [
        {
            "weights": "uniform",
            "by_step": by_step(tmp_path),
            "rare": {"loss": loss, "loss_of_mean": 2.0},
            "others": {"loss": 1, "loss_of_mean": 4},
        }
        for loss in (1.0, 1.2)
    ]
    assert tables(rows).splitlines() == [
        "| draws | 40 | 80 |",
        "|---|--:|--:|",
        "| uniform | 0.050 ± 0.000 | 0.025 ± 0.000 |",
        "",
        "| draws | rare, all clips | the others |",
        "|---|--:|--:|",
        "| uniform | 0.550 ± 0.071 | 0.250 ± 0.000 |",
    ]
