"""The table that tells what features know."""

from surgstream.benchmarks.experiments.features import table


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
