"""Videos and still images of a micro-batch, apart."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.objectives.masks.tube_draws import to_device


class ClipsOfKind(NamedTuple):
    """The videos of a micro-batch, or its images.

    Attributes:
        is_image: Whether they are images.
        rows: (b,) int64 on the host, their places; None where they are all there is.
        places: The same on the device.
        share: Their share of the micro-batch, a scalar on the device.
    """

    is_image: bool
    rows: npt.NDArray[np.int64] | None
    places: Tensor | None
    share: Tensor

    @staticmethod
    def all_videos(clips: Tensor) -> "ClipsOfKind":
        """All clips (B, C, T, H, W), as videos."""
        return ClipsOfKind(False, None, None, torch.ones((), device=clips.device))

    def clips(self, clips: Tensor) -> Tensor:
        """Take them out of a micro-batch's: videos (b, C, T, H, W), images (b, C, 1, H, W)."""
        if self.places is not None:
            clips = clips[self.places]
        # The frames of an image are all the same
        return clips[:, :, :1] if self.is_image else clips


def kinds_in(batch: ClipBatch) -> list[ClipsOfKind]:
    """The videos of a micro-batch, then its images; a kind that it does not have is left out."""
    found = []
    for is_image in (False, True):
        rows = np.flatnonzero(batch.stills == is_image)
        if rows.size:
            device = batch.clips.device
            share = np.asarray(rows.size / len(batch.stills), np.float32)
            found.append(
                ClipsOfKind(is_image, rows, to_device(rows, device), to_device(share, device))
            )
    return found
