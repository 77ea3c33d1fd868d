"""The presets against the tables of the papers, whose numbers stand here as they are printed."""

import re
from pathlib import Path

import pytest

from surgstream.configs.loading import load
from surgstream.configs.presets import presets
from surgstream.shards.corpus.file import CorpusConfig, DatasetConfig, Expected
from tests.shards.corpus.test_presets import corpus_of, found, lay_out

SURGPUB = {
    "cholec80": (40, 86_344), "m2cai16": (27, 67_578), "heichole": (24, 55_139), "pitvis": (25, 120_018),
    "psi_ava": (8, 72_318), "autolaparo": (10, 40_211), "bernbypass70": (70, 303_764), "strasbypass70": (70, 457_787),
}  # fmt: skip
"""SurgVISTA's eight public sets: videos, and frames at 1 a second."""

SURGWEB = (3376, 2_349_618)
"""Its ninth, which is not published."""

UNISURG = (
    ("neurosurgery", ("pitvis",), 2303, "2,860.85", "mixed"),
    ("general_surgery", ("avos",), 10_874, "125.16", "public"),
    ("ophthalmology", ("ophnet", "cataracts"), 1969, "230.76", "public"),
    ("gastric_surgery", ("bernbypass70", "strasbypass70", "copesd"), 180, "252.10", "public"),
    ("laparoscopic_cholecystectomy", ("cholec80", "m2cai16"), 121, "77.51", "public"),
    ("colonoscopy", ("endofm",), 30_000, "45.00", "public"),
    ("gynaecology", ("autolaparo",), 25, "23.12", "public"),
    ("urology", ("psi_ava",), 8, "20.45", "public"),
    ("hepatic_surgery", ("pmlr50",), 50, "6.95", "public"),
    ("skill_training", ("jigsaws", "aixsuture"), 206, "5.27", "public"),
    ("bronchoscopy", (), 60, "50.00", "private"),
    ("breast_surgery", ("egosurgery",), 21, "10.55", "mixed"),
)
"""UniSurg's table: specialty, the datasets of the preset, videos, hours, access."""

WHOLE_ROWS = {
    "cholec80": 80,
    "m2cai16": 41,
    "pmlr50": 50,
    "psi_ava": 8,
    "egosurgery": 21,
    "avos": 10_874,
}
"""Videos of sets that a row of UniSurg's has whole, alone or with another."""


def datasets(preset: str) -> dict[str, DatasetConfig]:
    return {each.name: each for each in load(CorpusConfig, presets("pack")[preset]).datasets}


@pytest.mark.parametrize("preset", ["surgvista", "surgvista_frames"])
def test_surgvista_has_the_counts_of_its_table(preset: str) -> None:
    sets = datasets(preset)
    counts = {name: (each.expected.videos, each.expected.frames) for name, each in sets.items()}
    assert counts.pop("gensurgery") == (None, None), "it stands for SurgWeb, and has other videos"
    assert counts == SURGPUB


def test_surgvista_tells_what_is_not_published() -> None:
    text = presets("pack")["surgvista"].read_text()
    assert sum(videos for videos, _ in SURGPUB.values()) == 274
    assert sum(frames for _, frames in SURGPUB.values()) == 1_203_159
    assert 274 + SURGWEB[0] == 3650 and 1_203_159 + SURGWEB[1] == 3_552_777
    for number in (274, 1_203_159, *SURGWEB, 3650, 3_552_777):
        assert f"{number:,} " in text
    assert "SurgWeb, which is not published" in text


def test_unisurg_has_its_table_row_by_row() -> None:
    text = presets("pack")["unisurg"].read_text()
    rows = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line.startswith("# |")]
    assert [(row[0], row[2], row[3], row[4]) for row in rows[2:]] == [
        (specialty, f"{videos:,}", hours, access) for specialty, _, videos, hours, access in UNISURG
    ]

    hours = [float(row[3].replace(",", "")) for row in UNISURG]
    public = [value for value, row in zip(hours, UNISURG, strict=True) if row[4] == "public"]
    assert f"{sum(row[2] for row in UNISURG):,} videos and {sum(hours):,.2f} hours" in text
    assert f"{sum(public):.2f} are of" in text


def test_unisurg_has_the_named_sources_under_the_specialties_of_its_table() -> None:
    sets = datasets("unisurg")
    expected = {name: row[0] for row in UNISURG for name in row[1]}
    assert {name: each.specialty for name, each in sets.items()} == expected


def test_unisurg_s_counts_of_whole_sets_are_those_of_its_rows() -> None:
    sets = datasets("unisurg")
    assert {name: sets[name].whole.videos for name in WHOLE_ROWS} == WHOLE_ROWS
    assert sets["cholec80"].whole.videos + sets["m2cai16"].whole.videos == 121  # type: ignore[operator]

    # Where a row is of one set, its hours are those of the row, and fit its frames.
    for _, names, _, hours, _ in UNISURG:
        if len(names) == 1 and names[0] != "pitvis":
            whole = sets[names[0]].whole
            assert whole.hours == float(hours)
            assert not whole.frames or abs(whole.frames / 3600 - whole.hours) < 0.01

    gastric = [sets[name] for name in ("bernbypass70", "strasbypass70", "copesd")]
    videos = [each.whole.videos or each.expected.videos or 0 for each in gastric]
    hours_of = [each.whole.hours or (each.expected.frames or 0) / 3600 for each in gastric]
    assert sum(videos) == 180
    assert sum(hours_of) == pytest.approx(252.10, abs=0.05)


def test_official_test_videos_are_held_out_of_unisurg_by_default(tmp_path: Path) -> None:
    held_out = {name for name, each in datasets("unisurg").items() if each.hold_out}
    assert held_out == {"cholec80", "m2cai16", "autolaparo", "cataracts", "pmlr50", "ophnet"}

    lay_out(tmp_path, "unisurg", *held_out)
    corpus = corpus_of("unisurg", "held_out").part(None, ",".join(held_out))
    counts = {name: len(videos) for name, videos in found(corpus, tmp_path).items()}
    assert counts == {
        "cholec80": 40, "m2cai16": 14, "autolaparo": 7, "cataracts": 25, "pmlr50": 10, "ophnet": 154,
    }  # fmt: skip


PART = Expected(videos=3)
ALL = Expected(videos=5)


@pytest.mark.parametrize(
    ("hold_out", "split", "whole", "counts"),
    [
        (("v",), "train", ALL, PART),
        (("v",), "all", ALL, ALL),
        (("v",), "held_out", ALL, Expected()),
        (("v",), "all", Expected(), Expected()),
        ((), "train", ALL, ALL),
        ((), "all", ALL, ALL),
        ((), "held_out", ALL, Expected()),
        ((), "train", Expected(), PART),
        ((), "all", Expected(), PART),
        ((), "held_out", Expected(), Expected()),
    ],
)
def test_counts_are_of_what_is_packed(
    hold_out: tuple[str, ...], split: str, whole: Expected, counts: Expected
) -> None:
    dataset = DatasetConfig(
        name="d", specialty="s", procedure="p", videos="*.mp4", hold_out=hold_out, expected=PART, whole=whole
    )  # fmt: skip
    assert dataset.counts(split) == counts
