"""SurgicalActions160: 160 short clips of gynaecologic laparoscopy, ten of each of 16 actions, in a folder an action."""

import re
from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.release import Column, Count, Release, VideoLabel
from surgstream.shards.releases.tables import matching_files

ACTIONS = (
    "abdominal_access",
    "injection",
    "cutting",
    "blunt_dissection",
    "dissection_thermal",
    "irrigation",
    "coagulation",
    "suction",
    "needle_positioning",
    "needle_puncture",
    "knot_pushing",
    "knotting",
    "thread_cut",
    "sling_in",
    "endobag_in",
    "endobag_out",
)
"""The actions by their number in the release, from 1."""

_LAYOUT = "NN_action/NN_NN.mp4"
_CLIP = re.compile("([0-9]{2})_[0-9]{2}")


def read(root: Path) -> Iterator[VideoLabel]:
    """Read the actions from the names of folders and clips. Which clips are of one recording is not told."""
    for path in matching_files(root, ["[0-9][0-9]_*/*.mp4"], _LAYOUT):
        clip = _CLIP.fullmatch(path.stem)
        number = path.parent.name[:2]
        if not clip or clip[1] != number or not 1 <= int(number) <= len(ACTIONS):
            raise ReleaseError(
                f"{path}: expected a clip such as 01_10.mp4 in a folder of the same number, from 01 "
                f"to {len(ACTIONS)}"
            )
        yield VideoLabel(column="action", video=path.stem, label=ACTIONS[int(number) - 1])


RELEASES = (
    Release(
        name="surgical_actions160",
        title="SurgicalActions160",
        layout=(_LAYOUT,),
        columns=(Column(name="action", kind="class", classes=ACTIONS),),
        counts=(
            Count(what="all clips", column="action", num_videos=160, source="the release's README"),
        ),
        verified=True,
        source="the release's README, in Siiichenggg/SurgRec-open-source",
        read=read,
    ),
)
