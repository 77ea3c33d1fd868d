"""The packed frames that pictures are of, for people to look at."""

from functools import cached_property
from typing import TYPE_CHECKING

from surgstream.shards.format.manifest import Manifest
from surgstream.shards.inspection.packed_frames import Placed, all_videos, read_images
from surgstream.shards.storage.base import Storage

if TYPE_CHECKING:
    from PIL import Image


class Frames:
    """Frames of a dataset by video and number.

    Args:
        corpus: The packed frames.
        dataset: The dataset.
    """

    def __init__(self, corpus: Storage, dataset: str) -> None:
        self._corpus = corpus
        self._dataset = dataset

    def read(self, video: str, frame: int) -> "Image.Image":
        """Read a frame, RGB, by its number in the video.

        Raises:
            CorruptSampleError: It is not what was packed.
            StorageError: The store fails.
        """
        placed = self._placed[video]
        number = placed.frame_numbers.index(frame)
        (image,) = read_images(self._corpus, placed, [number])
        return image

    @cached_property
    def _placed(self) -> dict[str, Placed]:
        manifest = Manifest.load(self._corpus)
        return {
            placed.video.id: placed
            for placed in all_videos(manifest)
            if placed.shard.dataset == self._dataset
        }
