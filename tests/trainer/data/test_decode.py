import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.data import decode
from surgstream.trainer.data.augment import ClipTransform, augmented
from surgstream.trainer.data.augmentation.config import EraseConfig, RandAugmentConfig
from surgstream.trainer.data.augmentation.erasing import draw_erasing
from surgstream.trainer.data.augmentation.policy import draw_operations
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.data.decode import ClipDecoder, decoding_threads
from surgstream.trainer.data.graphs import Graph, clips_graph
from surgstream.trainer.data.resize import Resizer
from surgstream.trainer.errors import DamagedFramesError, DecodeError, DecodingDeviceError

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


ON_CPU = DecodeConfig(device="cpu", threads=1)
ON_GPU = DecodeConfig(device="gpu", threads=1)
REGION_ON_GPU = DecodeConfig(device="gpu", gpu_whole_frames=False, threads=1)


@pytest.mark.parametrize(
    ("device", "config"),
    [
        ("cpu", ON_CPU),
        *(pytest.param("cuda", config, marks=pytest.mark.gpu) for config in (ON_CPU, ON_GPU)),
    ],
)
def test_clips_equal_a_plain_reference(device: str, config: DecodeConfig) -> None:
    frames = [jpeg(smooth_image(seed)) for seed in range(6)]
    windows = [(0, 0, 80, 80), (10, 4, 61, 55), (30, 20, 80, 80)]
    graph = decoder(device, config)
    clips = graph.decode(frames, cropped(*windows))
    assert (
        clips.shape == (3, 3, 2, 32, 32)
        and clips.dtype == torch.float32
        and clips.device.type == device
    )
    for i, data in enumerate(frames):
        expected = reference(data, windows[i // 2])
        difference = (clips[i // 2, :, i % 2].cpu() - expected).abs()
        # A grey level is 1 / (255 x 0.225) = 0.017. At the window's edge DALI's filter repeats the last pixel, or sees
        # the next one of the frame; torch's leaves it out.
        assert difference[:, 1:-1, 1:-1].max() < (0.018 if config.device == "cpu" else 0.054)
        assert difference.max() < (0.08 if config.device == "cpu" else 0.16)


@pytest.mark.parametrize("device", DEVICES)
def test_the_frame_axis_is_a_view_of_the_graph_s_output(device: str) -> None:
    clips = decoder(device).decode([jpeg(smooth_image(0))] * 2, cropped((0, 0, 80, 80)))
    assert not clips.is_contiguous() and clips.transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("device", DEVICES)
def test_decoded_clips_are_augmented_on_their_device(device: str) -> None:
    graph = decoder(device)
    frames = [jpeg(smooth_image(seed)) for seed in range(6)]
    crops = cropped(*[(0, 0, 80, 80)] * 3)
    draws = np.arange(3)
    transform = ClipTransform(
        windows=crops.windows,
        flipped=np.array([True, False, True]),
        operations=draw_operations(RandAugmentConfig(probability=1.0), 0, draws),
        erasing=draw_erasing(EraseConfig(probability=1.0), 0, draws),
    )
    plain = graph.decode(frames, crops)
    copy = plain.clone()
    for _ in range(3):
        clips = graph.decode(frames, transform)
    assert torch.equal(plain, copy), "the graph's own pixels are not written to"
    assert clips.device.type == device and clips.transpose(1, 2).is_contiguous()
    expected = augmented(copy.cpu(), transform)
    torch.testing.assert_close(clips.cpu(), expected, rtol=1e-5, atol=1e-5)


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


STILLS = [[True, False, True], [False, True, False], [True, True, True]]


def with_stills(
    frames: Sequence[np.ndarray], stills: Sequence[bool]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Three clips of two frames, of which stills show the first alone: each given once, and given twice."""
    once, twice = [], []
    for i, is_still in enumerate(stills):
        first, second = frames[2 * i : 2 * i + 2]
        once += [first] if is_still else [first, second]
        twice += [first, first] if is_still else [first, second]
    return once, twice


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stills", STILLS)
def test_a_still_is_decoded_once_to_what_its_repeated_jpeg_gives(
    device: str, stills: Sequence[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = decoder(device)
    windows = cropped((0, 0, 80, 80), (10, 4, 61, 55), (30, 20, 80, 80))
    once, twice = with_stills([jpeg(smooth_image(seed)) for seed in range(6)], stills)
    transform = ClipTransform(
        windows=windows.windows,
        flipped=np.array([True, False, True]),
        erasing=draw_erasing(EraseConfig(probability=1.0), 0, np.arange(3)),
    )
    expected = [graph.decode(twice, each).clone() for each in (windows, transform)]

    given = []
    run = graph._decoding.run
    monkeypatch.setattr(
        graph._decoding, "run", lambda **i: given.append(len(i["jpeg"])) or run(**i)
    )
    for each, clips in zip((windows, transform), expected, strict=True):
        found = graph.decode(once, each, np.array(stills))
        assert torch.equal(found, clips)
        assert found.stride() == clips.stride() and found.device.type == device
    assert given == [len(once)] * 2


@pytest.mark.parametrize("stills", STILLS)
def test_the_gpu_s_graph_decodes_a_still_once(stills: Sequence[bool]) -> None:
    """On the CPU, which runs the same graph."""
    graph = decoder("cpu")
    graph._resizer = None
    graph._decoding = Graph(
        clips_graph, image_size=32, whole_frames=True, device="cpu", batch_size=6, num_threads=1,
        device_id=None,
    )  # fmt: skip
    windows = cropped((0, 0, 80, 80), (10, 4, 61, 55), (30, 20, 80, 80))
    once, twice = with_stills([jpeg(smooth_image(seed)) for seed in range(6)], stills)
    expected = graph.decode(twice, windows).clone()
    assert torch.equal(graph.decode(once, windows, np.array(stills)), expected)
    assert torch.equal(graph.decode(twice, windows), expected), "videos alone come after stills"


def test_a_damaged_still_is_named_by_its_place_among_the_frames_given() -> None:
    graph = decoder("cpu")
    window = cropped(*[(0, 0, 80, 80)] * 3)
    frames = [jpeg(smooth_image(seed)) for seed in range(5)]
    spoilt = [*frames[:2], frames[2][:700], frames[3][:700], frames[4]]
    with pytest.raises(DamagedFramesError) as caught:
        graph.decode(spoilt, window, np.array([False, True, False]))
    assert list(caught.value.reasons) == [2, 3]


def test_an_earlier_batch_stays_what_it_was() -> None:
    graph = decoder("cpu")
    window = cropped((0, 0, 80, 80))
    first = graph.decode([jpeg(smooth_image(0))] * 2, window)
    copy = first.clone()
    for seed in range(1, 8):
        graph.decode([jpeg(smooth_image(seed))] * 2, window)
    assert torch.equal(first, copy)


def test_the_gpu_s_graphs_differ_by_the_edge_that_the_filter_sees() -> None:
    """On the CPU, which runs the same graphs: the decoder's window alone, and whole frames cropped by the resizing."""
    windows = np.array([(0, 0, 80, 80), (10, 4, 61, 55), (30, 20, 80, 80)], np.int32)
    pictures = []
    for whole_frames in (False, True):
        graph = Graph(
            clips_graph,
            image_size=32,
            whole_frames=whole_frames,
            device="cpu",
            batch_size=3,
            num_threads=1,
            device_id=None,
        )
        outputs = graph.run(
            jpeg=[jpeg(smooth_image(seed)) for seed in range(3)],
            start=np.ascontiguousarray(windows[:, 1::-1]),
            end=np.ascontiguousarray(windows[:, :1:-1]),
        )
        pictures.append(np.array(outputs.as_tensor()))

    levels = 255 * 0.225 * np.abs(pictures[0] - pictures[1])
    assert levels[0, :, :, :-2].max() < 0.01, "three of its edges are the frame's"
    assert levels[:, :, 2:-2, 2:-2].max() < 1.1
    assert 1 < levels[1:].max() < 16 and levels.mean() < 0.25


def test_a_frame_that_is_no_jpeg_is_named_and_the_decoder_goes_on() -> None:
    graph = decoder("cpu")
    window = cropped((0, 0, 80, 80), (0, 0, 80, 80))
    frames = [jpeg(smooth_image(seed)) for seed in range(4)]
    before = graph.decode(frames, window)
    copy = before.clone()

    spoilt = [frames[0], frames[1][:700], frames[2], frames[3][:900]]
    with pytest.raises(DamagedFramesError) as caught:
        graph.decode(spoilt, window)
    assert list(caught.value.reasons) == [1, 3]
    assert all(
        reason.endswith("DALI says: Failed to decode sample #0")
        for reason in caught.value.reasons.values()
    )
    assert caught.value.comes_again

    assert torch.equal(before, copy), "the graph is gone, what it made is not"
    assert torch.equal(graph.decode(frames, window), copy)


def test_what_lies_below_the_window_may_be_missing_in_whatever_company() -> None:
    graph = decoder("cpu")
    cut = jpeg(smooth_image(0))[:-200].copy()
    whole = jpeg(smooth_image(0))
    top = cropped((0, 0, 40, 40))
    assert torch.equal(
        graph.decode([cut, whole], top)[0, :, 0], graph.decode([whole] * 2, top)[0, :, 0]
    )
    with pytest.raises(DamagedFramesError) as caught:
        graph.decode([cut, whole[:700]], top)
    assert list(caught.value.reasons) == [1]


@pytest.mark.gpu
@pytest.mark.parametrize("config", [ON_CPU, ON_GPU], ids=["CPU", "GPU"])
def test_a_frame_that_is_no_jpeg_is_named_where_there_is_a_gpu(config: DecodeConfig) -> None:
    graph = decoder("cuda", config)
    window = cropped((0, 0, 80, 80))
    frames = [jpeg(smooth_image(seed)) for seed in range(2)]
    with pytest.raises(DamagedFramesError) as caught:
        graph.decode([frames[0], frames[1][:700]], window)
    assert list(caught.value.reasons) == [1]
    assert graph.decode(frames, window).device.type == "cuda"


class Failing:
    """A pipeline that fails as DALI does, with its whole message."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def run(self, **_: object) -> None:
        raise RuntimeError(
            "Critical error in pipeline:\nError in Mixed operator `nvidia.dali.fn.decoders.image`,\n"
            'which was used in the pipeline definition with the following traceback:\n\n  File "cuda.py", '
            f"line 4, in graph\n    return fn.decoders.image(jpeg)\n\nencountered:\n\n{self.reason}\n"
            "Current pipeline object is no longer valid."
        )


@pytest.mark.parametrize(
    ("reason", "told", "is_looked_for"),
    [
        ("CUDA allocation failed", "CUDA allocation failed", False),
        (
            "Error in thread 0: CUDA runtime API error cudaErrorIllegalAddress (700):\n"
            "an illegal memory access was encountered",
            "CUDA runtime API error cudaErrorIllegalAddress (700): an illegal memory access",
            False,
        ),
        ("nvml error (999): A nvml internal driver error occurred", "nvml error", False),
        ("std::bad_alloc", "std::bad_alloc", False),
        ("nvImageCodec failure: '#8'", "nvImageCodec failure: '#8'", True),
        ("Failed to decode sample #1 : ", "Failed to decode sample #1; ", True),
    ],
)
def test_a_failure_with_sound_frames_is_the_device_s_and_may_not_come_again(
    reason: str, told: str, is_looked_for: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = decoder("cpu")
    monkeypatch.setattr(graph._decoding, "_pipeline", Failing(reason))
    looked = []
    damage = graph._damage

    def note(*arguments: Any) -> dict[int, str]:
        looked.append(1)
        return damage(*arguments)

    monkeypatch.setattr(graph, "_damage", note)
    frames = [jpeg(smooth_image(0))] * 2
    with pytest.raises(DecodingDeviceError) as caught:
        graph.decode(frames, cropped((0, 0, 80, 80)))
    assert told in str(caught.value) and "micro_batch_size" in str(caught.value)
    assert not caught.value.comes_again and bool(looked) == is_looked_for


def test_frames_are_not_blamed_where_not_even_the_cpu_decodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = decoder("cpu")
    monkeypatch.setattr(graph._decoding, "_pipeline", Failing("nvImageCodec failure: '#8'"))
    monkeypatch.setattr(
        decode,
        "windows_graph",
        lambda **_: SimpleNamespace(build=lambda: None, run=Failing("out of memory").run),
    )
    with pytest.raises(DecodingDeviceError, match="got: out of memory; "):
        graph.decode([jpeg(smooth_image(0))] * 2, cropped((0, 0, 80, 80)))


class Made:
    """Stands for graphs and resizers, and keeps what they were made with."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.arguments = arguments
        self.settings = settings


@pytest.mark.parametrize(
    ("config", "device", "seen", "graph"),
    [
        (DecodeConfig(), "cpu", True, decode.windows_graph),
        (DecodeConfig(), "cuda", False, decode.windows_graph),
        (DecodeConfig(), "cuda", True, decode.clips_graph),
        (ON_CPU, "cuda", True, decode.windows_graph),
        (ON_GPU, "cuda", False, decode.clips_graph),
        (REGION_ON_GPU, "cuda", False, decode.clips_graph),
    ],
)
def test_the_gpu_decodes_where_it_is_asked_to_or_was_seen_to(
    config: DecodeConfig, device: str, seen: bool, graph: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "Graph", Made)
    monkeypatch.setattr(decode, "Resizer", Made)
    made: Any = ClipDecoder(
        config,
        max_clips=1,
        num_frames=1,
        image_size=32,
        device=torch.device(device, 0) if device == "cuda" else torch.device(device),
        gpu_decodes=seen,
    )
    assert made._decoding.arguments == (graph,)
    if graph is decode.clips_graph:
        assert made._decoding.settings["device_id"] == 0 and made._resizer is None
        assert made._decoding.settings["whole_frames"] == config.gpu_whole_frames
    else:
        assert made._decoding.settings["device_id"] is None
        assert made._decoding.settings["whole_frames"] is False
        assert made._resizer.settings == {"pinned": device == "cuda"}


@pytest.mark.parametrize("pinned", [False, True])
def test_a_pinned_buffer_is_a_matter_of_memory_alone(
    pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    empty = torch.empty

    def note(*shape: Any, pin_memory: bool, **settings: Any) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(*shape, **settings)

    monkeypatch.setattr(torch, "empty", note)
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 60, 3), np.uint8)
    resized = Resizer(4, 16, 2, pinned=pinned).resize(torch.from_numpy(image) for image in images)
    assert asked == [pinned]
    planes = torch.from_numpy(images).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(planes, (16, 16), mode="bilinear", antialias=True)
    np.testing.assert_array_equal(resized, expected.permute(0, 2, 3, 1).numpy())


def test_memory_that_cannot_be_pinned_is_the_device_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **settings: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(decode, "Resizer", full)
    with pytest.raises(DecodingDeviceError, match=r"got: CUDA error: out of memory; .*threads"):
        decoder("cpu")


@pytest.mark.parametrize(("cores", "beside_a_gpu"), [(12, 9), (4, 1), (2, 1)])
def test_decoding_leaves_cores_to_the_gpu_s_own_work(
    cores: int, beside_a_gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert decoding_threads({}, has_gpu=False) == cores
    assert decoding_threads({}, has_gpu=True) == beside_a_gpu


def test_a_gpu_that_is_asked_for_and_absent_is_an_error() -> None:
    with pytest.raises(DecodeError, match="expected a GPU"):
        ClipDecoder(
            DecodeConfig(device="gpu"),
            max_clips=1,
            num_frames=1,
            image_size=32,
            device=torch.device("cpu"),
        )
