"""Faces, by OpenCV's cascade of Viola and Jones (2001), where OpenCV is installed: `pip install surgstream[faces]`."""

import importlib.util
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_LINES, _SMALLEST = 160, 20
"""Shorter side of the picture that is searched, and of the smallest face in it: time grows with its area."""

_local = threading.local()


@cache
def cascade_file() -> Path | None:
    """Where OpenCV keeps it; None where it is not installed, or has none, as from version 5 on."""
    package = importlib.util.find_spec("cv2")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "data" / "haarcascade_frontalface_alt2.xml"
    return path if path.exists() else None


def opencv() -> dict[str, str]:
    """Its version, if it can find faces."""
    if cascade_file() is None:
        return {}
    import cv2

    return {"opencv": cv2.__version__}


def has_face(image: Image.Image) -> bool:
    """Whether a face looks into the camera; no where OpenCV is missing. Masked faces and profiles are not found.

    Args:
        image: RGB.
    """
    path = cascade_file()
    if path is None:
        return False
    scale = min(1.0, _LINES / min(image.size))
    grey = np.asarray(image.convert("L").resize((round(image.width * scale), round(image.height * scale))))
    return len(_cascade(path).detectMultiScale(grey, 1.15, 5, minSize=(_SMALLEST, _SMALLEST))) > 0


def _cascade(path: Path) -> Any:
    """One a thread: it is not made for several."""
    import cv2

    if not hasattr(_local, "cascade"):
        cv2.setNumThreads(1)
        _local.cascade = cv2.CascadeClassifier(str(path))
    return _local.cascade
