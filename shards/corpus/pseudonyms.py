"""Pseudonyms: the names in a corpus of videos whose own names must not be told, such as a patient's.

    dataset,video,pseudonym
    cholec80,DOE_JANE_19620102,v4c1f09d2be73

The map is a CSV file that stays outside of the corpus. Nothing else leads back, since a pseudonym is drawn at random,
once and for all. Lines may be written by hand, for example with the numbers of a study.
"""

import csv
import io
import secrets
from collections.abc import Sequence
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import read_text, write_atomically
from surgstream.shards.format.names import is_plain_id
from surgstream.shards.storage.durable import sync_folder
from surgstream.shards.storage.owner import owning
from surgstream.shards.storage.stores import open_storage

COLUMNS = ("dataset", "video", "pseudonym")

Video = tuple[str, str]
"""The dataset of a video, and the name of its file without the suffix."""


def find_pseudonyms(path: Path, videos: Sequence[Video], *, extend: bool) -> dict[Video, str]:
    """Give every video its pseudonym.

    Args:
        path: The map.
        videos: All videos.
        extend: Add the missing videos to the map; other processes may do so at the same time.

    Returns:
        The pseudonyms, including those of videos that are gone.

    Raises:
        ConfigError: The map is not as described above, or lacks a video and must not be extended.
        StorageError: Its folder cannot be written to.
        OSError: It cannot be written.
    """
    known = _load(path)
    missing = [video for video in videos if video not in known]
    if not missing:
        return known
    if not extend:
        raise ConfigError(
            f"pseudonyms: {path}: expected a line for each video, got none for {len(missing)} of "
            f"them, such as {'/'.join(missing[0])}; run with --plan-only first"
        )

    with owning(open_storage(str(path.parent)), "naming videos", wait=True):
        # Another process may have extended the map since it was read.
        known = _load(path)
        missing = [video for video in videos if video not in known]
        taken = {(dataset, pseudonym) for (dataset, _), pseudonym in known.items()}
        added = {video: _draw(video[0], taken) for video in dict.fromkeys(missing)}
        _extend(path, added)
    return {**known, **added}


def _text(path: Path) -> str:
    """The map as it is; one without lines where there is none."""
    return read_text(path, "surrogateescape") if path.exists() else ",".join(COLUMNS) + "\n"


def _load(path: Path) -> dict[Video, str]:
    try:
        text = io.StringIO(_text(path), newline="")
        rows = csv.DictReader(text, restval="", strict=True)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ConfigError(
                f"pseudonyms: {path}: expected the columns {', '.join(COLUMNS)}; "
                f"{missing[0]} is missing"
            )
        lines = [(rows.line_num, row["dataset"], row["video"], row["pseudonym"]) for row in rows]
    except (OSError, csv.Error) as error:
        raise ConfigError(f"pseudonyms: expected a CSV file: {error}") from None

    known: dict[Video, str] = {}
    taken: set[Video] = set()
    for number, dataset, video, pseudonym in lines:
        where = f"pseudonyms: {path}: line {number}"
        if not is_plain_id(pseudonym):
            raise ConfigError(
                f"{where}: expected 1 to 80 characters of A-Z a-z 0-9 _ -, got {pseudonym!r}"
            )
        if (dataset, video) in known or (dataset, pseudonym) in taken:
            raise ConfigError(
                f"{where}: expected each video and each pseudonym of a dataset once, got one again"
            )
        known[dataset, video] = pseudonym
        taken.add((dataset, pseudonym))

    return known


def _draw(dataset: str, taken: set[Video]) -> str:
    """Draw a pseudonym that no video of a dataset has, and add it to `taken`."""
    while True:
        pseudonym = f"v{secrets.token_hex(6)}"
        if (dataset, pseudonym) not in taken:
            taken.add((dataset, pseudonym))
            return pseudonym


def _extend(path: Path, added: dict[Video, str]) -> None:
    """Add lines to the map atomically; its other lines stay as they are, and only its owner can read a new map."""
    before = _text(path)
    text = io.StringIO(newline="")
    text.write(before if before.endswith("\n") else before + "\n")
    # A person may have added columns or changed their order; new lines leave added ones empty.
    columns = csv.DictReader(io.StringIO(before, newline="")).fieldnames or COLUMNS
    writer = csv.DictWriter(text, columns, restval="")
    for (dataset, video), pseudonym in added.items():
        writer.writerow({"dataset": dataset, "video": video, "pseudonym": pseudonym})

    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    data = text.getvalue().encode("utf-8", "surrogateescape")
    write_atomically(path, data, durable=True, mode=mode)
    sync_folder(path.parent)
