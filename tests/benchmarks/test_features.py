"""The corpora that features are measured on, and the table that tells of them."""

import yaml

from benchmarks.features import RARE, _only_rare, _with_few, table
from shards.synthetic.corpus import SynthConfig, _corpus, plan


def test_one_video_of_the_rare_specialty_is_left_and_the_others_are_as_they_were() -> None:
    corpus = yaml.safe_load(_corpus(plan(SynthConfig(times=3)), 3))
    few = {dataset["name"]: dataset for dataset in _with_few(corpus)["datasets"]}
    rare = few.pop(RARE)
    assert rare["videos"] == [f"{RARE}/videos/{RARE}_01.mp4"] and not rare["hold_out"]
    assert few == {dataset["name"]: dataset for dataset in corpus["datasets"] if dataset["name"] != RARE}
    assert [dataset["name"] for dataset in _only_rare(corpus)["datasets"]] == [RARE]


def test_a_table_has_means_and_spreads_over_seeds() -> None:
    rows = [
        {"recipe": name, "trained": {"accuracy": accuracy}, "random": {"accuracy": 0.25}}
        for name, accuracy in (("a", 0.5), ("a", 0.6), ("b", 0.7))
    ]
    assert table(rows, "recipe", ("trained", "random")).splitlines() == [
        "| recipe | trained | random |",
        "|---|--:|--:|",
        "| a | 55.0 ± 7.1 | 25.0 ± 0.0 |",
        "| b | 70.0 ± 0.0 | 25.0 ± 0.0 |",
    ]
