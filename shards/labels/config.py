"""Where labels lie, and how to read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["class", "multilabel", "number"]
"""One class a row; any number of classes a row; or a number."""


@dataclass(frozen=True, kw_only=True)
class LabelFilesConfig:
    """Files of labels, below a folder or an `s3://` address that is given when they are read.

    Attributes:
        files: A CSV file a video, with `{video}` where its id goes and columns `second` and `column`; or, without
            `{video}`, one file of all videos with columns `video` and `column`, a row a video.
        column: The column of the label.
        at: `until_next`: a label holds until the next row. `instant`: it is that of the frame at its second alone.
        unlabelled: Texts that say that there is no label. Where a row may have no class at all, that is an empty text,
            which is not among these.
        separator: What stands between the labels of a row of several.
    """

    files: str
    column: str
    at: Literal["until_next", "instant"] = "until_next"
    unlabelled: tuple[str, ...] = ("",)
    separator: str = ";"

    @property
    def per_video(self) -> bool:
        """Whether each video has one label, not each frame."""
        return "{video}" not in self.files

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.files.startswith("/") or "://" in self.files:
            yield f"files: expected a path below the folder of labels, got {self.files!r}"
