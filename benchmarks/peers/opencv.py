"""OpenCV on our JPEGs."""

import cv2
import numpy as np
import numpy.typing as npt

from surgstream.benchmarks.support.clip_work import ClipWork, ReadClip


def readers(work: ClipWork) -> dict[str, ReadClip]:
    """Decode whole frames."""
    cv2.setNumThreads(1)
    return {
        "OpenCV, JPEG bytes": lambda number: work.augmented(
            number, [_decoded(frame) for frame in work.clips[number].frames]
        )
    }


def _decoded(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    image = cv2.imdecode(frame, cv2.IMREAD_COLOR_RGB)
    assert image is not None, "every frame is a JPEG"
    return np.asarray(image, np.uint8)
