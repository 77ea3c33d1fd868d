"""The benchmark of the guard counts a copy once, whatever is not one as a false alarm, and cuts as packing would."""

from pathlib import Path

import numpy as np
import pytest

from surgstream.benchmarks.experiments.leaks.__main__ import table
from surgstream.benchmarks.experiments.leaks.costs import matching
from surgstream.benchmarks.experiments.leaks.counting import (
    Row,
    among,
    judged,
    middle,
    moving,
    rows_of,
    still,
)
from surgstream.benchmarks.experiments.leaks.films import KINDS, RATE, SECONDS
from surgstream.benchmarks.experiments.leaks.scale import comparing, printing
from surgstream.shards.leaks.fingerprints import prints
from surgstream.shards.leaks.matching import Match, find_matches
from tests.helpers.films import drifting
from tests.trainer.lineage.films import write


def match(first: int, second: int) -> Match:
    where = {
        "first_start": 0,
        "second_start": 0,
        "first_phase": 0,
        "second_phase": 0,
        "pose": 0,
        "length": 30,
    }
    return Match(first=first, second=second, score=0.9, evidence=5, **where)


def test_copies_are_found_once_and_others_are_false_alarms() -> None:
    found = [[match(0, 3), match(0, 3), match(1, 5), match(1, 2), match(1, 6)], [match(2, 5)]]
    row = judged("5 frames/s", "mirrored", found, 3, 3)
    assert (row.num_copies, row.num_found, row.false_alarms) == (3, (1, 1), 1)
    assert among("5 frames/s", found, 3).false_alarms == 1
    shown = Row(
        packing="1 frame/s", kind="mirrored", num_copies=3, num_found=(3,) * 10, false_alarms=0
    )
    assert table([shown]).splitlines()[-1] == "| 1 frame/s | mirrored |" + " 3 |" * 10 + " 0 |"


def test_cut_prints_are_those_of_a_film_that_was_cut() -> None:
    thumbnails = np.stack([picture[:64, :64] for picture in drifting(1, 40, fps=RATE)])
    taken = moving(thumbnails).packed(5, start=13, cut=20)
    later = thumbnails[13:-20]
    assert len(taken) == 4
    for bits, shift in zip(taken, (0, 2, 4, 6), strict=True):
        some = later[shift::RATE]
        assert np.array_equal(bits, prints(some, np.ones(len(some), bool)))


@pytest.mark.slow
def test_copies_of_films_are_found_at_every_start() -> None:
    originals = [
        moving(np.stack([picture[:64, :64] for picture in drifting(seed, SECONDS, fps=RATE)]))
        for seed in (1, 2)
    ]
    rows = rows_of(originals, {next(iter(KINDS)): originals}, find_matches, 5 * RATE)
    assert len(rows) == 8
    assert rows[0].num_found == (2,) * 10 and rows[-2].num_found == (2,) * 10
    assert all(row.false_alarms == 0 for row in rows)


def test_a_clip_is_of_the_middle() -> None:
    thumbnails = np.zeros((SECONDS * RATE, 64, 64), np.uint8)
    thumbnails[220] = 100
    clip = middle(thumbnails)
    assert len(clip) == 100 and clip.any() and len(middle(thumbnails[:90])) == 90
    assert still(clip).packed(1, start=RATE, cut=RATE)[0].shape == (8, 8)


def test_planted_copies_are_found_among_hours_that_are_made_up() -> None:
    found = matching(2 * 3600)
    assert (found["copies"], found["found"], found["false_alarms"]) == (2, 2, 0)


def test_planted_copies_of_a_task_are_found_in_a_larger_corpus() -> None:
    found = comparing(2, 3)
    assert (found["planted"], found["found"], found["false_alarms"]) == (2, 2, 0)


def test_prints_are_counted_by_the_hour(tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus", {"hip": {"a": 1, "b": 2, "again": 1}})
    found = printing(corpus, tmp_path / "kept")
    assert (found["videos"], found["pairs"], found["found"]) == (3, 3, 1)
    assert found["hours"] == pytest.approx(3 / 60) and found["kept_mb_an_hour"] > 0
