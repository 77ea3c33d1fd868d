"""CATARACTS: the step of each frame of 50 cataract operations, as annotated for the challenge of 2020."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, Row, VideoRows
from surgstream.shards.releases.tables import headed_lines, numbered_files

STEPS = (
    "idle",
    "toric_marking",
    "implant_ejection",
    "incision",
    "viscodilatation",
    "capsulorhexis",
    "hydrodissection",
    "nucleus_breaking",
    "phacoemulsification",
    "vitrectomy",
    "irrigation_aspiration",
    "preparing_implant",
    "manual_aspiration",
    "implantation",
    "positioning",
    "ovd_aspiration",
    "suturing",
    "sealing_control",
    "wound_hydratation",
)
"""The steps by their number in the release."""

FPS = 29.19
"""Frames a second. The videos have four rates from 29.173 to 29.202, and the tables do not tell which: in an operation
of 11 minutes, as most are, a time is wrong by 0.4 seconds at most, in the longest, of 41, by 1.4."""

STEP = 30
"""Others look at every 30th frame and call it one a second; this is what they have counted."""

_FOLDER = Path("ground_truth", "CATARACTS_2020")
_FILES = (
    ("train_gt", "trainNN.csv", "train"),
    ("dev_gt", "testNN.csv", "test"),
    ("test_gt", "testNN.csv", "test"),
)
_PAPER = "SurgVISTA, arXiv 2506.02692"


def read(root: Path) -> Iterator[VideoRows]:
    """Read the steps, which have a row for each frame, from 1 on."""
    for folder, name, prefix in _FILES:
        for number, path in numbered_files(root / _FOLDER / folder, name):
            yield VideoRows(column="step", video=f"{prefix}{number}", rows=tuple(_rows(path)))


def _rows(path: Path) -> Iterator[Row]:
    names = {str(number): name for number, name in enumerate(STEPS)}

    for index, line in enumerate(headed_lines(path, ["Frame", "Steps"])):
        if line.whole("Frame") != index + 1:
            raise line.wrong("Frame", f"frame {index + 1}, as they are counted from 1")
        if index % STEP == 0:
            yield round(index / FPS, 3), line.one_of("Steps", names)


def _videos(prefix: str) -> frozenset[str]:
    return frozenset(f"{prefix}{number:02d}" for number in range(1, 26))


RELEASES = (
    Release(
        name="cataracts",
        title="CATARACTS",
        layout=tuple(f"{_FOLDER}/{folder}/{name}" for folder, name, _ in _FILES),
        columns=(Column(name="step", kind="class", classes=STEPS),),
        counts=(
            Count(
                what="train",
                column="step",
                videos=_videos("train"),
                num_videos=25,
                num_rows=16_507,
                source=_PAPER,
            ),
            Count(
                what="val and test",
                column="step",
                videos=_videos("test"),
                num_videos=25,
                num_rows=15_448,
                source=_PAPER,
            ),
        ),
        verified=False,
        source="isyangshu/SurgVISTA",
        read=read,
    ),
)
