"""Stored features: for each shard of a corpus one file of NumPy, with the rows of the shard's index that have some.

Below the place they are written to, `KEY/about.json` says what made them, and `KEY/DATASET/NAME-000123.npy` has those
of `DATASET/NAME-000123.tar`: an array of records, one for each frame that was asked for, with the fields

- `row`, its row in the shard's index, increasing;
- `feature`, (D,) of a clip that ends with the frame, or (S, D) for each of its slices of time, oldest first;
- `crc32`, of the little-endian bytes of both.

At one row a second and five packed frames a second, four of five rows have none: an array of all rows would be mostly
NaN, and two files would not be written as one. The key is SHA-256 of all that decides features, so that other weights,
another corpus or another stride are another folder, and nobody reads what was made in another way.

Whoever trains a network of their own needs no line of ours:

    stored = np.load(f"{out}/{key}/larkspur/larkspur-000000.npy")
    shards = json.load(open(f"{corpus}/manifest.json"))["shards"]
    videos = [video for shard in shards for video in shard["videos"]]
    video = next(video for video in videos if video["id"] == "larkspur_01")
    frames = stored["row"] - video["first_row"]
    mine = (0 <= frames) & (frames < sum(part["num_frames"] for part in video["parts"]))
    features, seconds = stored["feature"][mine], frames[mine] / video["fps"]

and, for the labels, `second` of the CSV files of `surgstream labels`. (Of a video in several parts, `frames` counts
packed frames: add each part's `first_frame`.)
"""

import io
import json
import tokenize
import warnings
import zipfile
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.shards.errors import StorageError
from surgstream.shards.format.checksummed import canonical
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import S3Config, Storage, open_storage
from surgstream.trainer.errors import FeatureError
from surgstream.trainer.features.places import IndexRows, Int64
from surgstream.trainer.features.spec import FeatureSpec

Floats = npt.NDArray[np.float32]
Records = npt.NDArray[np.void]

_ABOUT = "about.json"
_CODES = {"float16": "f2", "float32": "f4"}

# What NumPy raises depends on which byte is damaged.
_DAMAGE = (
    ValueError, TypeError, KeyError, EOFError, OSError, MemoryError, OverflowError, RecursionError, SyntaxError,
    Warning, tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip

_ATTEMPTS = 16
"""Times that a file is merged anew, where others write to it at once."""


class FeatureStore:
    """Features of a corpus by one encoder.

    Attributes:
        spec: What decides them.
        uri: Where they lie, with their key.
    """

    def __init__(
        self, place: str, spec: FeatureSpec, table: FrameTable, s3: S3Config | None = None
    ) -> None:
        """Read and write nothing yet.

        Args:
            place: The folder or address below which the key's folder lies.
            spec: What decides the features.
            table: The corpus.
            s3: Access to S3.
        """
        self.spec = spec
        self.uri = f"{place.rstrip('/')}/{spec.key}"
        self.rows = IndexRows(table)
        self._storage: Storage = open_storage(self.uri, s3)
        self._dtype = np.dtype(
            [("row", "<i8"), ("crc32", "<u4"), ("feature", f"<{_CODES[spec.dtype]}", spec.shape)]
        )
        # Videos are read in the order of the corpus, so that the last shard is the next one, too.
        self._records = lru_cache(maxsize=1)(self.records)

    def claim(self) -> None:
        """Say in `about.json` what the features are, or make sure that it says so.

        Raises:
            FeatureError: It says something else.
            StorageError: It cannot be read or written.
        """
        if self._storage.size(_ABOUT) is None:
            self._storage.create(_ABOUT, canonical(self.spec.about()))
        self.check()

    def check(self) -> None:
        """Make sure that `about.json` says what is asked for; see `claim`."""
        try:
            about = json.loads(self._storage.read(_ABOUT))
            deciding = {name: about[name] for name in self.spec.deciding()}
        except (ValueError, KeyError, TypeError, RecursionError):
            deciding = {}
        if deciding != self.spec.deciding():
            raise FeatureError(
                f"{self.uri}: {_ABOUT}: expected what this key stands for, got something else; "
                "delete the folder, and extract the features again"
            )

    def records(self, shard: str) -> Records:
        """The records of a shard, none where it has no file.

        Raises:
            FeatureError: The file is damaged, or has features of another shape.
            StorageError: It cannot be read.
        """
        name = _name(shard)
        if self._storage.size(name) is None:
            return np.empty(0, self._dtype)
        return self._parse(self._storage.read(name), f"{self.uri}: {name}")

    def add(self, shard: str, rows: Int64, features: npt.NDArray[Any]) -> None:
        """Add features to the file of a shard, atomically; what another process has added meanwhile stays.

        Args:
            shard: The shard.
            rows: (n,), rows of its index.
            features: (n, D) or (n, S, D).

        Raises:
            FeatureError: A feature is not finite, or not in float16; or the file is damaged.
            StorageError: It cannot be read or written.
        """
        new = self._made(shard, rows, features)
        name = _name(shard)
        for attempt in range(_ATTEMPTS):
            was = self._storage.version(name)
            old = self.records(shard)
            kept = old[~np.isin(old["row"], new["row"])]
            merged = np.concatenate([kept, new])
            merged = merged[np.argsort(merged["row"], kind="stable")]

            content = io.BytesIO()
            np.save(content, merged, allow_pickle=False)
            try:
                if was is not None:
                    self._storage.replace(name, content.getvalue(), was)
                elif not self._storage.create(name, content.getvalue()):
                    continue
            except StorageError:
                # Another process has written it since, or the store fails for good.
                if self._storage.version(name) == was or attempt + 1 == _ATTEMPTS:
                    raise
                continue
            return
        raise FeatureError(f"{self.uri}: {name}: expected to write it, got other writers each time")

    def read(self, dataset: str, video: str, frames: Int64) -> Floats:
        """The features of frames of a video, NaN where there are none.

        Args:
            dataset: The dataset.
            video: The id of the video.
            frames: (n,), numbers of frames in the video.

        Returns:
            (n, D) or (n, S, D).

        Raises:
            ConfigError: The corpus has no such dataset or video.
            FeatureError: It has no such frame, or a file is damaged.
            StorageError: A file cannot be read.
        """
        shard = self.rows.shard_of(dataset, video)
        rows = self.rows.of(dataset, video, frames)
        records = self._records(shard)

        features = np.full((len(rows), *self.spec.shape), np.nan, np.float32)
        if len(records):
            places = np.searchsorted(records["row"], rows).clip(max=len(records) - 1)
            found = records["row"][places] == rows
            features[found] = records["feature"][places[found]]
        return features

    def _made(self, shard: str, rows: Int64, features: npt.NDArray[Any]) -> Records:
        """Records of features, in the order of their rows."""
        order = np.argsort(rows, kind="stable")
        new = np.empty(len(rows), self._dtype)
        new["row"] = rows[order]
        with np.errstate(over="ignore"):
            new["feature"] = features[order]

        if not np.isfinite(new["feature"]).all():
            largest = np.abs(features).max()
            advice = "are the weights damaged?"
            if np.isfinite(largest):
                advice = f"the largest is {largest:.3g}: write dtype=float32"
            raise FeatureError(
                f"{shard}: expected finite features in {self.spec.dtype}, got others; {advice}"
            )
        new["crc32"] = _checksums(new)
        return new

    def _parse(self, data: bytes, where: str) -> Records:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a header that NumPy has to mend
                records = np.load(io.BytesIO(data), allow_pickle=False)
        except _DAMAGE:
            raise _damaged(where, "expected an array of NumPy") from None

        if not isinstance(records, np.ndarray) or records.dtype != self._dtype or records.ndim != 1:
            got = getattr(records, "dtype", type(records).__name__)
            raise _damaged(where, f"expected records of {self._dtype}, got {got}")
        if np.any(np.diff(records["row"]) <= 0) or np.any(records["row"][:1] < 0):
            raise _damaged(where, "expected increasing rows")
        (wrong,) = np.nonzero(_checksums(records) != records["crc32"])
        if wrong.size:
            raise _damaged(where, f"row {records['row'][wrong[0]]}: checksum mismatch")
        return records


def _name(shard: str) -> str:
    """The file of a shard's features, below the key."""
    return f"{shard.removesuffix('.tar')}.npy"


def _checksums(records: Records) -> npt.NDArray[np.uint32]:
    """CRC-32 of each record's row and feature."""
    rows = np.ascontiguousarray(records["row"])
    features = np.ascontiguousarray(records["feature"])
    checksums = np.empty(len(records), np.uint32)
    for i in range(len(records)):
        checksums[i] = zlib.crc32(features[i].tobytes(), zlib.crc32(rows[i].tobytes()))
    return checksums


def _damaged(where: str, what: str) -> FeatureError:
    return FeatureError(
        f"{where}: {what}; it is damaged: delete it, and extract the features again"
    )
