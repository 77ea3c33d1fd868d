"""Some clips of a task's split, and what is predicted for them beside what is true."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.trainer.batch import ClipName
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.labelled.clips import SplitClips

Encode = Callable[[Tensor], Tensor]
PollStop = Callable[[], bool]


class SomeClips:
    """Some clips of a split, always the same ones, evenly spread.

    Args:
        source: Opens them.
        split: The split.
        num_clips: How many at most.

    Attributes:
        split: The split.
    """

    def __init__(self, source: ClipSource, split: SplitClips, num_clips: int) -> None:
        self.split = split
        self._source = source
        self._num_clips = num_clips

    def encoded(self, encode: Encode, poll_stop: PollStop) -> tuple[list[ClipName], Tensor] | None:
        """Encode this rank's share of the clips; damaged ones are left out. Collective.

        Args:
            encode: From clips (B, C, T, H, W) to (B, ...).
            poll_stop: Whether all ranks are to stop; called after every micro-batch.

        Returns:
            The names of n clips, which follow those of the rank before, and (n, ...) on the CPU; None if told to stop.
        """
        names: list[ClipName] = []
        parts: list[Tensor] = []
        with self._source.open_pass(self._num_clips) as batches:
            for batch in batches:
                kept = np.flatnonzero(batch.valid).tolist()
                names += [batch.names[i] for i in kept]
                parts.append(encode(batch.clips)[kept].cpu())
                if poll_stop():
                    return None
        return names, torch.cat(parts)


def scored(
    split: SplitClips, groups: dict[str, str], names: Sequence[ClipName], outputs: npt.NDArray[Any]
) -> list[ScoredVideo]:
    """The rows that some clips predict, and no others, for metrics.

    Args:
        split: The split, with one clip a row.
        groups: The group of each video that is in one.
        names: n clips.
        outputs: (n, C) float64: scores of classes, or numbers with C = 1.

    Returns:
        The videos of these clips, in the order of their ids.
    """
    by_video: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        by_video.setdefault(name.video, []).append(i)

    found = []
    for video in sorted(by_video):
        anchors = np.array([names[i].anchor_frame for i in by_video[video]])
        order = np.argsort(anchors)
        rows = split.rows(video)
        kept = np.flatnonzero(np.isin(rows.anchors[:, 0], anchors))

        # Several rows may have one clip
        places = np.searchsorted(anchors[order], rows.anchors[kept, 0])
        of_rows = outputs[np.array(by_video[video])[order][places]]
        found.append(
            ScoredVideo(
                video=video,
                group=groups.get(video, video),
                seconds=rows.true.seconds[kept],
                truth=rows.true.truth[kept],
                predicted=_predicted(of_rows, split.space),
                scores=None if split.space.kind == "number" else of_rows,
            )
        )
    return found


def _predicted(outputs: npt.NDArray[Any], space: LabelSpace) -> npt.NDArray[Any] | None:
    if space.kind == "multilabel":
        return None
    return np.asarray(outputs.argmax(1) if space.kind == "class" else outputs[:, 0])
