"""Faces, by YuNet (2023), a small network that OpenCV runs. Its weights and their licence lie next to this file."""

import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MODEL = Path(__file__).with_name("face_detection_yunet_2023mar_int8bq.onnx")

_SCORE = 0.8
"""Least score of a face. A lumen in an endoscope's disc, like a mouth in a head, has scores up to 0.76 at this size.
`benchmarks/experiments/faces` measures what is found, and missed."""

_SHORT_SIDE = 256
"""Shorter side of the picture that is searched, in pixels; time grows with its area."""

_MIN_SIDE = 64
"""Least side that the network can take: in a picture of 32 pixels it sees faces where there is nothing."""

_REMEDY = "pip install 'opencv-python-headless>=4.11'"

_local = threading.local()


@cache
def obstacle() -> str | None:
    """Say why faces cannot be looked for here, and what helps; None where they can."""
    try:
        import cv2
    # OpenCV itself may be missing, or a library of the system that it needs.
    except ImportError as error:
        return f"OpenCV cannot be imported here ({error}): {_REMEDY}"

    try:
        _detector(_SHORT_SIDE, _SHORT_SIDE)
    except (AttributeError, cv2.error):
        return f"OpenCV {cv2.__version__} cannot run {MODEL.name}: {_REMEDY}"
    return None


def detector() -> dict[str, str]:
    """Name the detector and the versions that decide about faces here, for the manifest."""
    if obstacle() is not None:
        return {"face_detector": "none"}

    import cv2

    return {"face_detector": MODEL.stem, "opencv": cv2.__version__}


def face_score(image: Image.Image) -> float:
    """Score how surely there is a face, 0 to 1; 0 where nothing is like one. Only where there is no `obstacle`.

    Args:
        image: RGB.
    """
    scale = min(1.0, _SHORT_SIDE / min(image.size))
    width = max(1, round(image.width * scale))
    height = max(1, round(image.height * scale))
    small = np.asarray(image.resize((width, height), Image.Resampling.BOX))

    # Padded to a size that the network can take, and in OpenCV's order: blue, green, red.
    padded_width = max(width, _MIN_SIDE)
    padded_height = max(height, _MIN_SIDE)
    pixels = np.zeros((padded_height, padded_width, 3), np.uint8)
    pixels[:height, :width] = small[..., ::-1]

    # A row for each face, whose last number is the score.
    _, found = _detector(padded_width, padded_height).detect(pixels)
    return 0.0 if found is None else float(found[:, -1].max())


def _detector(width: int, height: int) -> Any:
    """Get this thread's detector for pictures of a size; OpenCV's is not thread-safe."""
    import cv2

    if not hasattr(_local, "detector"):
        cv2.setNumThreads(1)
        weights = np.fromfile(MODEL, np.uint8)
        settings = np.empty(0, np.uint8)
        _local.detector = cv2.FaceDetectorYN.create(
            "onnx", weights, settings, (width, height), _SCORE
        )
    _local.detector.setInputSize((width, height))
    return _local.detector
