"""M2CAI16-workflow: the phase of each frame of 41 cholecystectomies; the challenge's own training and test videos."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, VideoRows
from surgstream.shards.releases.tables import numbered_files
from surgstream.shards.releases.workflow import cholec80

PHASES = {"TrocarPlacement": "trocar_placement", **cholec80.PHASES}
"""Our name of each phase of the release."""

_PARTS = {"train_dataset": "workflow_video_", "test_dataset": "test_workflow_video_"}
"""How the videos of each folder are called, without their number."""


def read(root: Path) -> Iterator[VideoRows]:
    """Read phases, which have a row for each frame. Timestamps, which lie beside them, are no labels."""
    for folder, name in _PARTS.items():
        for number, path in numbered_files(root / folder, f"{name}NN.txt"):
            rows = cholec80.read_phases(path, PHASES)
            yield VideoRows(column="phase", video=f"{name}{number}", rows=rows)


RELEASES = (
    Release(
        name="m2cai16",
        title="M2CAI16-workflow",
        layout=(
            "train_dataset/workflow_video_NN.txt",
            "test_dataset/test_workflow_video_NN.txt",
        ),
        columns=(Column(name="phase", kind="class", classes=tuple(PHASES.values())),),
        counts=(
            # The lengths of annotations that others list make 67,577 rows; 67,582 with a heading as a row.
            Count(
                what="train",
                column="phase",
                videos=frozenset(f"workflow_video_{number:02d}" for number in range(1, 28)),
                num_videos=27,
                num_rows=67_578,
                source="frames of SurgVISTA, arXiv 2506.02692",
                certain=False,
            ),
            Count(
                what="test",
                column="phase",
                videos=frozenset(f"test_workflow_video_{number:02d}" for number in range(1, 15)),
                num_videos=14,
                num_rows=26_961,
                source="SurgVISTA, arXiv 2506.02692",
            ),
        ),
        verified=False,
        source="public code (isyangshu/SurgVISTA, YuemingJin/TMRNet)",
        read=read,
    ),
)
