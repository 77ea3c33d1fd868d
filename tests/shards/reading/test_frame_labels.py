"""Labels read back from a packed corpus, against the CSV files they were packed from."""

from pathlib import Path

import pytest

from surgstream.launch.__main__ import main
from surgstream.shards.errors import ManifestError
from surgstream.shards.reading.frame_labels import FrameLabels
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video

ROWS = {
    "a": [(0.5, "begin"), (1.3, "cut"), (1.3, "clip"), (3.0, "end")],
    "b": [(0.0, "begin"), (2.2, "cut")],
    "c": [],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos in several shards and segments; the last of them has no labels."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "labels").mkdir()
    for video, rows in ROWS.items():
        make_video(folder / "videos" / f"{video}.mp4", 100)
        lines = "".join(f"{second},{phase}\n" for second, phase in rows)
        (folder / "labels" / f"{video}.csv").write_text(f"second,phase\n{lines}")
    dataset = {"name": "one", "videos": "videos/*", "labels": {"phase": "labels/{video}.csv"}}
    described = write_corpus(folder, dataset, fps=5, segment_frames=3, shard_bytes=1000, workers=1)
    assert main(["pack", described, str(folder / "packed")]) == 0
    return folder / "packed"


def expected(video: str, frame: int) -> str | None:
    """The last row that is not later than the frame, by reading the file as a person would."""
    label = None
    for second, phase in ROWS[video]:
        if second <= frame / 5:
            label = phase
    return label


def test_every_frame_has_the_label_that_held_when_it_was_shown(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    (size,) = table.sizes()
    numbers = [*range(size.num_clips)][::-1]
    labels = FrameLabels(table, "phase").of("one", numbers)
    places = table.locate_all(["one"] * len(numbers), numbers)
    assert labels == [expected(place.video, place.frame) for place in places]
    assert len({place.video for place in places}) == 3 and len(list(corpus.glob("one/*.tar"))) > 1
    assert set(labels) == {None, "begin", "cut", "clip", "end"}


def test_a_kind_that_nobody_labelled_says_nothing(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    assert FrameLabels(table, "skill").of("one", [0, 7]) == [None, None]


def test_a_damaged_description_is_an_error(corpus: Path, tmp_path: Path) -> None:
    for file in corpus.rglob("*"):
        if file.is_file():
            (tmp_path / file.relative_to(corpus)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file.relative_to(corpus)).write_bytes(file.read_bytes())
    shard = min(tmp_path.glob("one/*.tar"))
    data = bytearray(shard.read_bytes())
    data[data.index(b'"labels"')] ^= 1
    shard.write_bytes(data)
    table = FrameTable.open(open_storage(str(tmp_path)))
    with pytest.raises(ManifestError, match=r"one-000000.tar: bytes 512 to"):
        FrameLabels(table, "phase").of("one", [0])
