import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.data.augment import ClipTransform
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.data.decode import ClipDecoder
from surgstream.trainer.errors import DecodeError

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def smooth_image(seed: int, width: int = 100, height: int = 80) -> Image.Image:
    noise = np.random.default_rng(seed).integers(
        0, 255, (height // 10, width // 10, 3), dtype=np.uint8
    )
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image) -> np.ndarray:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95, subsampling=0)
    return np.frombuffer(data.getvalue(), np.uint8)


def decoder(device: str, config: DecodeConfig | None = None) -> ClipDecoder:
    place = torch.device(device, 0) if device == "cuda" else torch.device(device)
    return ClipDecoder(
        config or DecodeConfig(threads=1), max_clips=3, num_frames=2, image_size=32, device=place
    )


def cropped(*windows: Sequence[int]) -> ClipTransform:
    return ClipTransform(windows=np.array(windows, np.int32))


def reference(data: np.ndarray, window: Sequence[int] | np.ndarray) -> torch.Tensor:
    """Decode with Pillow, crop, resize with torch, normalise: (3, 32, 32)."""
    pixels = np.array(Image.open(io.BytesIO(data.tobytes())).convert("RGB"))
    left, top, right, bottom = window
    crop = torch.from_numpy(pixels[top:bottom, left:right]).permute(2, 0, 1)[None].float()
    small = (
        torch.nn.functional.interpolate(crop, (32, 32), mode="bilinear", antialias=True)[0] / 255
    )
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (small - mean) / std


@pytest.mark.parametrize(
    ("device", "decodes"),
    [("cpu", "cpu"), *(pytest.param("cuda", on, marks=pytest.mark.gpu) for on in ("cpu", "gpu"))],
)
def test_clips_equal_a_plain_reference(device: str, decodes: Literal["cpu", "gpu"]) -> None:
    frames = [jpeg(smooth_image(seed)) for seed in range(6)]
    windows = [(0, 0, 80, 80), (10, 4, 61, 55), (30, 20, 80, 80)]
    graph = decoder(device, DecodeConfig(device=decodes, threads=1))
    clips = graph.decode(frames, cropped(*windows))
    assert (
        clips.shape == (3, 3, 2, 32, 32)
        and clips.dtype == torch.float32
        and clips.device.type == device
    )
    for i, data in enumerate(frames):
        expected = reference(data, windows[i // 2])
        difference = (clips[i // 2, :, i % 2].cpu() - expected).abs()
        # A grey level is 1 / (255 x 0.225) = 0.017. At the window's edge DALI's filter repeats the last pixel, torch's
        # leaves it out.
        assert difference[:, 1:-1, 1:-1].max() < 0.018
        assert difference.max() < 0.08


@pytest.mark.parametrize("device", DEVICES)
def test_the_frame_axis_is_a_view_of_the_graph_s_output(device: str) -> None:
    clips = decoder(device).decode([jpeg(smooth_image(0))] * 2, cropped((0, 0, 80, 80)))
    assert not clips.is_contiguous() and clips.transpose(1, 2).is_contiguous()


def test_a_clip_is_the_same_in_any_batch_on_the_cpu() -> None:
    frames = [jpeg(smooth_image(seed)) for seed in range(6)]
    windows = [(0, 0, 80, 80), (10, 4, 61, 55), (30, 20, 80, 80)]
    graph = decoder("cpu")
    whole = graph.decode(frames, cropped(*windows)).clone()
    assert torch.equal(graph.decode(frames[2:4], cropped(windows[1]))[0], whole[1])
    assert torch.equal(
        graph.decode(frames[::-1], cropped(*reversed(windows)))[2, :, 1],
        decoder("cpu").decode(frames[1::-1], cropped(windows[0]))[0, :, 1],
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("threads", [1, 3, 8])
def test_any_number_of_threads_on_the_cpu_makes_the_same_clips(device: str, threads: int) -> None:
    frames = [jpeg(smooth_image(seed)) for seed in range(4)]
    windows = [(10, 4, 61, 55), (30, 20, 80, 80)]
    graph = decoder(device, DecodeConfig(device="cpu", threads=threads))
    clips = graph.decode(frames, cropped(*windows))
    assert clips.device.type == device
    for i, data in enumerate(frames):
        assert (
            clips[i // 2, :, i % 2].cpu() - reference(data, windows[i // 2])
        ).abs().max() < 0.018


def test_an_earlier_batch_stays_what_it_was() -> None:
    graph = decoder("cpu")
    window = cropped((0, 0, 80, 80))
    first = graph.decode([jpeg(smooth_image(0))] * 2, window)
    copy = first.clone()
    for seed in range(1, 8):
        graph.decode([jpeg(smooth_image(seed))] * 2, window)
    assert torch.equal(first, copy)


@pytest.mark.parametrize("device", DEVICES)
def test_a_broken_jpeg_is_an_error(device: str) -> None:
    with pytest.raises(DecodeError, match="whole JPEG"):
        decoder(device).decode([np.zeros(100, np.uint8)] * 2, cropped((0, 0, 80, 80)))


def test_a_gpu_that_is_asked_for_and_absent_is_an_error() -> None:
    with pytest.raises(DecodeError, match="expected a GPU"):
        ClipDecoder(
            DecodeConfig(device="gpu"),
            max_clips=1,
            num_frames=1,
            image_size=32,
            device=torch.device("cpu"),
        )
