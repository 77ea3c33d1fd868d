"""The pictures of layers as PNG: gray, with 8 or 16 bits a pixel."""

import io

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""Values of a layer, (H, W)."""

_MODES = {8: "L", 16: "I;16"}
_TYPES = {8: np.uint8, 16: np.uint16}


def to_png(picture: Picture) -> bytes:
    """Encode a picture without loss.

    Args:
        picture: 8 or 16 bits a pixel, (H, W).
    """
    # Login nodes, which score classes and numbers, need not have it.
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG")
    return file.getvalue()


def from_png(data: bytes | memoryview, size: tuple[int, int], bits: int) -> Picture:
    """Decode a picture that `to_png` has encoded.

    Args:
        data: The PNG.
        size: Width and height that it must have, in pixels: a header may ask for any amount of memory.
        bits: Bits of a pixel, 8 or 16.

    Returns:
        The picture, (H, W), uint8 or uint16.

    Raises:
        ValueError: It is something else; says what is expected.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != size:
                raise ValueError(
                    f"expected {size[0]}x{size[1]} pixels, got {image.width}x{image.height}"
                )
            if image.mode != _MODES[bits]:
                raise ValueError(f"expected {bits} bits of gray a pixel, got {image.mode}")
            return np.array(image, _TYPES[bits])
    except ValueError:
        raise
    # Pillow raises many kinds where bytes make no sense.
    except Exception as error:
        raise ValueError(f"cannot be decoded: {error}") from None
