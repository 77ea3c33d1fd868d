"""Films of what endoscopes see, and of what they should not, a flat-shaded sketch of each."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SIZE = (320, 180)
FPS = 5

FACE = Path(__file__).parent / "face.jpg"
"""From NASA's portrait of Eileen Collins, 1993, which is in the public domain."""

Picture = npt.NDArray[np.uint8]


def scene(kind: str, number: int, size: tuple[int, int] = SIZE) -> Picture:
    """Picture `number` of a scene: `tissue`, or one of `shards.screening.screener.KINDS`; shape (H, W, 3)."""
    width, height = size
    y, x = np.mgrid[:height, :width] / height
    if kind == "black":
        return np.full((height, width, 3), 8, np.uint8)
    if kind == "uniform":
        return np.broadcast_to(np.array([20, 40, 200], np.uint8), (height, width, 3)).copy()
    if kind == "test_card":
        bars = np.array(
            [
                [235, 235, 235],
                [235, 235, 16],
                [16, 235, 235],
                [16, 235, 16],
                [235, 16, 235],
                [16, 16, 235],
            ]
        )
        return bars[np.clip((x * height / width * 6).astype(int), 0, 5)].astype(np.uint8)
    if kind == "text":
        return written(
            "Robotic prostatectomy  No. 12", Image.new("RGB", size, (16, 24, 48)), (20, height // 3)
        )
    if kind in ("out_of_body", "face"):
        drapes = np.stack(
            [60 + 40 * np.sin(9 * x), 110 + 40 * np.sin(7 * y), 130 + 30 * np.sin(5 * (x + y))], 2
        )
        picture = drapes.clip(0, 255).astype(np.uint8)
        if kind == "face":
            with Image.open(FACE) as face:
                picture[20 : 20 + face.height, 100 : 100 + face.width] = np.asarray(face)
        return picture
    assert kind == "tissue"
    wave = np.sin(6 * x + 0.7 * number) + np.cos(8 * y - 0.5 * number) + np.sin(20 * x * y + number)
    light = (110 + 30 * wave)[..., None] * np.array([1.0, 0.55, 0.45])
    return light.clip(0, 255).astype(np.uint8)


def lumen(number: int, size: tuple[int, int] = (320, 240)) -> Picture:
    """Bright tissue that fades from one side to the other, so that columns tell nearly all of its colours."""
    fade = np.linspace(0.2, 0.8, size[0])[None, :, None] * np.array([0, 250, 200]) + np.array(
        [250, 0, 0]
    )
    return (fade + 0.05 * scene("tissue", number, size)).clip(0, 255).astype(np.uint8)


def written(text: str, image: Image.Image | Picture, at: tuple[int, int]) -> Picture:
    """The same with a line of white writing."""
    image = Image.fromarray(np.asarray(image))
    ImageDraw.Draw(image).text(
        at, text, (255, 255, 255), ImageFont.load_default(max(12, image.height // 12))
    )
    return np.asarray(image)


def in_disc(picture: Picture, centre: tuple[int, int], radius: int) -> Picture:
    """The same, black outside of a disc."""
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    return np.where(inside[..., None], picture, 6).astype(np.uint8)


def scenes(*kinds_and_seconds: tuple[str, int], size: tuple[int, int] = SIZE) -> list[Picture]:
    """The pictures of scenes, one after another, `FPS` a second."""
    kinds = [kind for kind, seconds in kinds_and_seconds for _ in range(seconds * FPS)]
    return [scene(kind, number, size) for number, kind in enumerate(kinds)]


def make_film(
    path: Path,
    pictures: Sequence[Picture],
    *,
    gop: int = 10,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write pictures as an H.264 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        stream.options = {"preset": "veryfast", "crf": "20", "g": str(gop)}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
