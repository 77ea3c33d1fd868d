"""SAR-RARP50: the action under way, ten times a second, in 50 robotic suturings of the dorsal venous complex."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, VideoRows
from surgstream.shards.releases.seconds import whole_seconds
from surgstream.shards.releases.tables import matching_files, plain_lines

ACTIONS = (
    "other",
    "picking_up_the_needle",
    "positioning_the_needle_tip",
    "pushing_the_needle_through_the_tissue",
    "pulling_the_needle_out_of_the_tissue",
    "tying_a_knot",
    "cutting_the_suture",
    "returning_dropping_the_needle",
)
"""The actions by their number in the release."""

FPS = 60
"""Frames a second. Of these every sixth has a row."""

_FILE = "action_discrete.txt"


def read(root: Path) -> Iterator[VideoRows]:
    """Read the actions of the first frame of each second. Four operations are in two parts, which are videos here."""
    names = {str(number): name for number, name in enumerate(ACTIONS)}
    patterns = (f"video_*/{_FILE}", f"*/video_*/{_FILE}")

    for path in matching_files(root, patterns, f"train1/video_NN/{_FILE}"):
        lines = plain_lines(path, ["frame", "action"])
        rows = whole_seconds(
            lines, lambda line: line.one_of("action", names), column="frame", fps=FPS
        )
        yield VideoRows(column="action", video=path.parent.name, rows=tuple(rows))


RELEASES = (
    Release(
        name="sarrarp50",
        title="SAR-RARP50",
        layout=(f"train1/video_NN/{_FILE}", f"train2/video_NN/{_FILE}", f"test/video_NN/{_FILE}"),
        columns=(Column(name="action", kind="class", classes=ACTIONS),),
        counts=(
            Count(
                what="all videos",
                column="action",
                num_videos=54,
                source="the split files of Siiichenggg/SurgRec-open-source: 44 to train, 10 to test",
                certain=False,
            ),
        ),
        verified=True,
        source="surgical-vision/SAR_RARP50-evaluation, the toolkit of the challenge",
        read=read,
    ),
)
