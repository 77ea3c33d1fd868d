"""PolypDiag: clips of colonoscopy with a polyp or without, as prepared for Endo-FM."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from surgstream.shards.releases.release import Column, Count, Release, VideoLabel
from surgstream.shards.releases.tables import plain_lines, text_of

DIAGNOSES = {"0": "normal", "1": "abnormal"}
"""Our name of each class of the release."""

SPLITS = {"train": "train", "val": "test"}
"""Our name of each of its two lists: nobody has a third, so what it calls val others report as test."""


def read(root: Path) -> Iterator[VideoLabel]:
    """Read the diagnosis of each clip, and which list it is in."""
    for name, split in SPLITS.items():
        path = root / "splits" / f"{name}.txt"
        # Readers differ in the separator that they expect.
        separator = "," if "," in text_of(path) else None

        for line in plain_lines(path, ["file", "diagnosis"], delimiter=separator):
            video = PurePosixPath(line.text("file")).stem
            diagnosis = line.one_of("diagnosis", DIAGNOSES)
            yield VideoLabel(column="diagnosis", video=video, label=diagnosis)
            yield VideoLabel(column="split", video=video, label=split)


RELEASES = (
    Release(
        name="polypdiag",
        title="PolypDiag",
        layout=tuple(f"splits/{name}.txt" for name in SPLITS),
        columns=(
            Column(name="diagnosis", kind="class", classes=tuple(DIAGNOSES.values())),
            Column(name="split", kind="class", classes=tuple(SPLITS.values())),
        ),
        counts=(
            Count(
                what="all clips",
                column="diagnosis",
                num_videos=253,
                source="Endo-FM's table of data sets",
                certain=False,
            ),
        ),
        verified=False,
        source="med-air/Endo-FM and CAIR-HKISI/SurgMotion",
        read=read,
    ),
)
