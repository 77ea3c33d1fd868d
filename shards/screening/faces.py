"""Faces, by YuNet (2023), a small network that OpenCV runs. Its weights and their licence lie beside this file."""

import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MODEL = Path(__file__).with_name("face_detection_yunet_2023mar_int8bq.onnx")

_SCORE = 0.8
"""From which it is a face: a lumen in an endoscope's disc, as a mouth in a head, has scores up to 0.76 at this size.
`benchmarks/experiments/faces` measures what is found, and missed."""

_LINES, _LEAST = 256, 64
"""Shorter side of the picture that is searched, as time grows with its area, and the least that the network can take:
in one of 32 it sees faces where there is nothing."""

_REMEDY = "pip install 'opencv-python-headless>=4.11'"

_local = threading.local()


@cache
def obstacle() -> str | None:
    """Why faces cannot be looked for here, and what helps; None where they can."""
    try:
        import cv2
    except ImportError as error:  # of OpenCV itself, or of a library of the system that it needs
        return f"OpenCV cannot be imported here ({error}): {_REMEDY}"
    try:
        _detector(_LINES, _LINES)
    except (AttributeError, cv2.error):
        return f"OpenCV {cv2.__version__} cannot run {MODEL.name}: {_REMEDY}"
    return None


def detector() -> dict[str, str]:
    """What looks for faces here, for the manifest: the versions of all that decides about them."""
    if obstacle() is not None:
        return {"face_detector": "none"}
    import cv2

    return {"face_detector": MODEL.stem, "opencv": cv2.__version__}


def face_score(image: Image.Image) -> float:
    """How surely there is a face, 0 to 1; 0 where nothing is like one. Only where there is no `obstacle`.

    Args:
        image: RGB.
    """
    scale = min(1.0, _LINES / min(image.size))
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    # Padded to what the network can take, and in OpenCV's order: blue, green, red
    pixels = np.zeros((max(height, _LEAST), max(width, _LEAST), 3), np.uint8)
    pixels[:height, :width] = small[..., ::-1]
    # A row for each face, whose last number is the score
    found = _detector(pixels.shape[1], pixels.shape[0]).detect(pixels)[1]
    return 0.0 if found is None else float(found[:, -1].max())


def _detector(width: int, height: int) -> Any:
    """For pictures of a size. One a thread: it is not made for several."""
    import cv2

    if not hasattr(_local, "detector"):
        cv2.setNumThreads(1)
        weights, settings = np.fromfile(MODEL, np.uint8), np.empty(0, np.uint8)
        _local.detector = cv2.FaceDetectorYN.create(
            "onnx", weights, settings, (width, height), _SCORE
        )
    _local.detector.setInputSize((width, height))
    return _local.detector
