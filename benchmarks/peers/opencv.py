"""OpenCV on our JPEGs."""

import cv2

from benchmarks.clip_work import ClipWork, ReadClip


def readers(work: ClipWork) -> dict[str, ReadClip]:
    """Decode whole frames."""
    cv2.setNumThreads(1)
    return {
        "OpenCV, JPEG bytes": lambda number: work.augmented(
            number, [cv2.imdecode(frame, cv2.IMREAD_COLOR_RGB) for frame in work.clips[number].frames]
        )
    }
