"""A packed corpus, to look at and to take clips from. Needs no torch until clips are asked for."""

from collections.abc import Sequence
from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.inspection.packed_frames import Placed, all_videos, read_images
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.subsets.summary import DatasetSummary, summarise
from surgstream.shards.storage.base import Storage
from surgstream.shards.storage.stores import open_storage

if TYPE_CHECKING:
    from PIL import Image

    from surgstream.trainer.api.clips import Clips


def open_corpus(
    uri: str | PathLike[str], *, fps: float | None = None, datasets: Sequence[str] | None = None
) -> "Corpus":
    """Open a packed corpus.

    Args:
        uri: A folder, or `s3://BUCKET/PREFIX`, which is reached as boto3 is told.
        fps: Frames a second that clips are cut at; the packed rate is a whole multiple of it. None takes every frame.
        datasets: Those to take, by name; None takes all.

    Raises:
        ConfigError: There is no such dataset, or a video was packed at a rate that `fps` does not divide.
        ManifestError: There is no whole corpus.
        StorageError: The store fails.

    Example:
        >>> corpus = surgstream.open_corpus("s3://bucket/corpus")
        >>> corpus
        Corpus('s3://bucket/corpus', 3 datasets, 120 videos, 88.20 hours)
        >>> corpus.frame("cholec80", "video01", 250)  # shown by notebooks
    """
    storage = open_storage(fspath(uri))
    table = FrameTable.open(storage, fps=fps, datasets=None if datasets is None else (*datasets,))
    return Corpus(storage, table, fps)


class Corpus:
    """A packed corpus; see `open_corpus`.

    Attributes:
        uri: Its address.
        table: The place of each of its clips.
    """

    def __init__(self, storage: Storage, table: FrameTable, fps: float | None) -> None:
        self.uri = storage.uri
        self.table = table
        self._storage = storage
        self._fps = fps

    def __repr__(self) -> str:
        """Tell how much there is."""
        datasets = self.datasets
        videos = sum(dataset.videos for dataset in datasets)
        return f"Corpus({self.uri!r}, {len(datasets)} datasets, {videos} videos, {self.hours:.1f} hours)"

    @cached_property
    def datasets(self) -> tuple[DatasetSummary, ...]:
        """Its datasets, with names, specialties, videos, hours and licences."""
        return summarise(self.table).datasets

    @property
    def hours(self) -> float:
        """Hours of video that it shows."""
        return sum(dataset.hours for dataset in self.datasets)

    def videos(self, dataset: str) -> list[str]:
        """The ids of a dataset's videos, in the order of the corpus.

        Raises:
            ConfigError: There is no such dataset.
        """
        self._check(dataset)
        return list(dict.fromkeys(part.video for part in self.table.parts(dataset)))

    def frame(self, dataset: str, video: str, number: int) -> "Image.Image":
        """Read a packed frame.

        Args:
            dataset: The dataset.
            video: The id of the video.
            number: The frame's number: it is shown `number` / packed rate seconds after the first one.

        Returns:
            An RGB image, as it was packed.

        Raises:
            ConfigError: There is no such dataset, video or frame.
            CorruptSampleError: It is not what was packed.
            StorageError: The store fails.
        """
        self._check(dataset)
        placed = self._placed.get((dataset, video))
        if placed is None:
            hint = did_you_mean(video, self.videos(dataset))
            raise ConfigError(f"{self.uri}: {dataset} has no video {video!r}{hint}")

        numbers = placed.frame_numbers
        if number not in numbers:
            raise ConfigError(
                f"{self.uri}: {dataset}/{video}: expected a frame from {numbers[0]} to {numbers[-1]} "
                f"that was packed, got {number}"
            )
        (image,) = read_images(self._storage, placed, [numbers.index(number)])
        return image

    def clips(
        self,
        *,
        num_frames: int = 16,
        image_size: int = 224,
        batch_size: int = 8,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        **data: Any,
    ) -> "Clips":
        """Take clips without end, in the order in which a recipe with these settings trains on them.

        Args:
            num_frames: Frames of a clip, T.
            image_size: Height and width of clips in pixels.
            batch_size: Clips of a batch, B; of a recipe `micro_batch_size`.
            seed: Decides the order and every crop.
            rank: The number of this process, where several share the clips.
            world_size: How many do.
            data: Keys of a recipe's section `data`, such as `stride=4` or `order={"weights": "balanced"}`; see
                docs/recipe_keys.md. `augment="squash"` shows whole pictures, as clips that are judged are shown.

        Raises:
            ConfigError: A setting is wrong, or the ranks cannot share a batch.

        Example:
            >>> clips = corpus.clips(num_frames=16, stride=4, seed=0)
            >>> first = next(iter(clips))
            >>> first["clips"].shape, first["names"][0]
            (torch.Size([8, 3, 16, 224, 224]), 'cholec80/video01@250')
        """
        from surgstream.trainer.api.clips import Clips

        settings = {"corpus": self.uri, "fps": self._fps, **data}
        return Clips(
            self.table,
            settings,
            num_frames=num_frames,
            image_size=image_size,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )

    @cached_property
    def _placed(self) -> dict[tuple[str, str], Placed]:
        manifest = Manifest.load(self._storage)
        return {(placed.shard.dataset, placed.video.id): placed for placed in all_videos(manifest)}

    def _check(self, dataset: str) -> None:
        names = [found.name for found in self.datasets]
        if dataset not in names:
            hint = did_you_mean(dataset, names)
            raise ConfigError(f"{self.uri}: no dataset has the name {dataset!r}{hint}")
