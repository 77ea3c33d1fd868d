"""What is true of each pixel of clips, at the size of an encoder's input."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.trainer.batch import ClipName
from surgstream.trainer.evaluation.dense.truth import at_places
from surgstream.trainer.labelled.clips import TaskClips


def truth_of_pixels(
    task: TaskClips, image_size: int
) -> Callable[[Sequence[ClipName]], npt.NDArray[Any]]:
    """Read what is true of clips, of a task of masks or depth.

    Args:
        task: The task.
        image_size: Rows and columns that pictures are brought to, as `squash` does with frames; no values are mixed.

    Returns:
        From B clips to (B, image_size, image_size): uint8 numbers of classes, 0 for none, or float32 millimetres, 0
        where nothing is known.
    """
    truth = task.dense_truth
    assert truth
    kind = np.float32 if task.space.kind == "depth" else np.uint8
    size = (image_size, image_size)

    def read(names: Sequence[ClipName]) -> npt.NDArray[Any]:
        frames = task.truth(names).tolist()
        found = np.empty((len(names), *size), kind)

        by_video: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            by_video.setdefault(name.video, []).append(i)
        for video, members in by_video.items():
            pictures = truth.read(video, [frames[i] for i in members])
            for i, picture in zip(members, pictures, strict=True):
                found[i] = at_places(picture, size)
        return found

    return read
