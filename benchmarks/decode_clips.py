"""Clips from bytes to normalised tensors (3, 16, 224, 224): the loader's DALI graph, against Pillow frame by frame."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.harness import Case
from benchmarks.material import IMAGE_SIZE, NUM_FRAMES, packed_corpus
from benchmarks.read_shards import first_clips
from shards.clips import ClipBytes
from shards.storage import open_storage
from shards.table import FrameTable
from trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from trainer.data.augment import Windows, multi_scale_crop
from trainer.data.config import CropConfig, DecodeConfig
from trainer.data.decode import ClipDecoder

NUM_CLIPS = 16


def cases(folder: Path) -> list[Case]:
    """DALI, Pillow on the same JPEGs, and Pillow on PNG files, one file a frame."""
    clips = first_clips(FrameTable.open(open_storage(str(packed_corpus(folder)))), NUM_CLIPS)
    g = np.array([clip.g for clip in clips])
    windows = multi_scale_crop(CropConfig(), 0, g, np.array([(clip.width, clip.height) for clip in clips]))
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    places = ["cpu", "gpu"] if device.type == "cuda" else ["cpu"]
    pngs = _as_png_files(clips, folder / "png")

    def jpegs() -> int:
        return _pillow([[io.BytesIO(frame.tobytes()) for frame in clip.frames] for clip in clips], windows)

    return [
        *(_dali(place, clips, windows, device) for place in places),
        Case("Pillow, JPEG bytes", "clips", jpegs),
        Case("Pillow, 16 PNG files", "clips", lambda: _pillow(pngs, windows)),
    ]


def _dali(place: str, clips: Sequence[ClipBytes], windows: Windows, device: torch.device) -> Case:
    config = DecodeConfig(device=place)  # type: ignore[arg-type]
    decoder = ClipDecoder(config, max_clips=NUM_CLIPS, num_frames=NUM_FRAMES, image_size=IMAGE_SIZE, device=device)
    frames = [frame for clip in clips for frame in clip.frames]

    def run() -> int:
        return decoder.decode(frames, windows).shape[0]

    return Case(f"DALI on the {place.upper()}, JPEG bytes", "clips", run)


def _pillow(clips: Sequence[Sequence[io.BytesIO | Path]], windows: Windows) -> int:
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    for clip, window in zip(clips, windows.tolist(), strict=True):
        frames: list[Tensor] = []
        for source in clip:
            image = Image.open(source).convert("RGB").crop(tuple(window))
            image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
            frames.append((torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - mean) / std)
        torch.stack(frames, dim=1)
    return len(clips)


def _as_png_files(clips: Sequence[ClipBytes], folder: Path) -> list[list[Path]]:
    folder.mkdir(exist_ok=True)
    paths = [[folder / f"{i:03}_{j:02}.png" for j in range(NUM_FRAMES)] for i in range(len(clips))]
    for clip, files in zip(clips, paths, strict=True):
        for frame, path in zip(clip.frames, files, strict=True):
            Image.open(io.BytesIO(frame.tobytes())).save(path)
    return paths
