"""What packed layers and their frames show, by the numbers that they were drawn with."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from surgstream.shards.format.index import ROW
from tests.helpers.layers import pictures_in
from tests.helpers.packing import load
from tests.helpers.videos import number_in

MASKS = {"name": "d", "videos": "videos/*.mp4", "layers": {"mask": "masks/{video}.mkv"}}


def frames_in(corpus: Path) -> dict[tuple[str, str, int], bytes]:
    """Every frame by dataset, video and number."""
    found = {}
    for shard in load(corpus).shards:
        rows = np.frombuffer((corpus / shard.index_name).read_bytes(), ROW)
        tar = (corpus / shard.name).read_bytes()
        row = 0
        for video in shard.videos:
            for part in video.parts:
                for frame in range(part.first_frame, part.first_frame + part.num_frames):
                    offset, size, _ = rows[row].tolist()
                    found[shard.dataset, video.id, frame] = tar[offset : offset + size]
                    row += 1
    return found


def check_numbers(corpus: Path, layer: str) -> int:
    """Compare the numbers that pictures of a layer and their frames were drawn with; returns how many there are."""
    frames = frames_in(corpus)
    pictures = pictures_in(corpus, layer)
    assert pictures.keys() == frames.keys()
    for key, picture in pictures.items():
        if picture is not None:
            assert set(np.unique(picture)) == {number_in(frames[key]) % 255 + 1}, key
            assert picture.shape == Image.open(io.BytesIO(frames[key])).size[::-1]
    return sum(picture is not None for picture in pictures.values())
