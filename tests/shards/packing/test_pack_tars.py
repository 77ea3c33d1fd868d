"""Videos in tars, as datasets are downloaded in, are packed where they lie."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import StorageError
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack as main
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video

TARS = {"00000": ("a", "b"), "00001": ("c",)}
VIDEOS = {"name": "d", "id": "{stem}"}
OPTIONS = {"fps": 25, "shard_bytes": 1, "workers": 2}


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three videos, and beside it one with two tars of them, each video with a JSON of its own."""
    folder = tmp_path_factory.mktemp("downloaded")
    (folder / "tars").mkdir()
    for tar, names in TARS.items():
        with tarfile.open(folder / "tars" / f"{tar}.tar", "w") as file:
            for name in names:
                path = folder / "videos" / f"{name}.mp4"
                make_video(path, 40, size=(96, 64))
                path.with_suffix(".json").write_text(json.dumps({"key": name}))
                file.add(path, path.name)
                file.add(path.with_suffix(".json"), f"{name}.json")

    corpus = write_corpus(folder, VIDEOS | {"videos": "videos/*.mp4"}, **OPTIONS)
    assert main([corpus, str(folder / "expected")]) == 0
    return folder


@pytest.fixture(params=["folder", "s3"])
def tars(request: pytest.FixtureRequest, downloaded: Path) -> Iterator[str]:
    """Where the tars are: in a folder, or in a bucket."""
    if request.param == "folder":
        yield str(downloaded / "tars")
        return
    with s3_bucket("downloads") as bucket:
        for path in (downloaded / "tars").iterdir():
            open_storage(bucket).write(f"set/{path.name}", path.read_bytes())
        yield f"{bucket}/set"


def shards(folder: Path) -> dict[str, bytes]:
    """What a corpus is read by: receipts and the plan alone know the versions of its videos."""
    found = contents(folder)
    kept = {name: data for name, data in found.items() if name.endswith((".tar", ".idx"))}
    return kept | {"manifest.json": found["manifest.json"]}


def test_the_shards_are_those_of_the_videos_themselves(
    tars: str, downloaded: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path, VIDEOS | {"videos": f"{tars}/*.tar/*.mp4"}, **OPTIONS)
    assert main([corpus, str(tmp_path / "out")]) == 0
    assert shards(tmp_path / "out") == shards(downloaded / "expected")

    # One video of one tar, named without a glob.
    corpus = write_corpus(tmp_path, VIDEOS | {"videos": f"{tars}/00001.tar/c.mp4"}, **OPTIONS)
    assert main([corpus, str(tmp_path / "one")]) == 0
    assert [video.id for shard in load(tmp_path / "one").shards for video in shard.videos] == ["c"]


def test_a_folder_of_nothing_but_tars_needs_no_corpus_file(tars: str, tmp_path: Path) -> None:
    assert main([tars, str(tmp_path / "out"), "fps=25", "shard_bytes=1"]) == 0
    ids = [video.id for shard in load(tmp_path / "out").shards for video in shard.videos]
    assert ids == ["a", "b", "c"]


def test_one_tar_is_packed_as_a_folder_is(tars: str, tmp_path: Path) -> None:
    assert main([f"{tars}/00000.tar", str(tmp_path / "out"), "fps=25", "--hold-out", "1"]) == 0
    ids = [video.id for shard in load(tmp_path / "out").shards for video in shard.videos]
    assert ids == ["a"]


def test_a_tar_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.tar: expected a folder with videos"):
        main([str(tmp_path / "none.tar"), str(tmp_path / "out")])


def test_ids_may_have_the_name_of_the_tar(downloaded: Path, tmp_path: Path) -> None:
    """Datasets in many tars number their videos anew in each."""
    for tar in ("00000", "00001"):
        with tarfile.open(tmp_path / f"{tar}.tar", "w") as file:
            file.add(downloaded / "videos" / "a.mp4", "0.mp4")
    assert main([str(tmp_path), str(tmp_path / "out"), "fps=25"]) == 0
    ids = [video.id for shard in load(tmp_path / "out").shards for video in shard.videos]
    assert [id.partition("--")[0] for id in ids] == ["00000_tar_0", "00001_tar_0"]


def test_a_folder_may_be_called_as_a_tar(downloaded: Path, tmp_path: Path) -> None:
    """It has tars or videos as any other, and a video that is missing is in quarantine, as elsewhere."""
    (tmp_path / "odd.tar").mkdir()
    (tmp_path / "odd.tar" / "tars").symlink_to(downloaded / "tars")
    (tmp_path / "odd.tar" / "b.mp4").symlink_to(downloaded / "videos" / "b.mp4")

    videos = ["odd.tar/*/00001.tar/*.mp4", "odd.tar/b.mp4", "odd.tar/none.mp4"]
    corpus = write_corpus(tmp_path, VIDEOS | {"videos": videos}, **OPTIONS)
    assert main([corpus, str(tmp_path / "out")]) == 0
    ids = [video.id for shard in load(tmp_path / "out").shards for video in shard.videos]
    assert sorted(ids) == ["b", "c"]
    (line,) = (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["video"] == "none"

    assert main([str(tmp_path / "odd.tar" / "tars"), str(tmp_path / "own"), "fps=25"]) == 0
    assert len([video for shard in load(tmp_path / "own").shards for video in shard.videos]) == 3


def test_what_other_machines_leave_beside_tars_is_not_read(
    downloaded: Path, tmp_path: Path
) -> None:
    """A Mac writes `._NAME` beside each file that it copies to a disk that is not its own."""
    (tmp_path / "00001.tar").symlink_to(downloaded / "tars" / "00001.tar")
    (tmp_path / "._00001.tar").write_bytes(b"\0\5\x16\7")
    assert main([str(tmp_path), str(tmp_path / "out"), "fps=25"]) == 0


def test_a_damaged_video_in_a_tar_is_in_quarantine(downloaded: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with tarfile.open(tmp_path / "0.tar", "w") as file:
        file.add(tmp_path / "broken.mp4", "broken.mp4")
        file.add(downloaded / "videos" / "a.mp4", "a.mp4")
    corpus = write_corpus(tmp_path, VIDEOS | {"videos": "*.tar/*.mp4"}, **OPTIONS)
    assert main([corpus, str(tmp_path / "out")]) == 0
    (line,) = (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["video"] == "broken"


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("cut/*.tar/*.mp4", StorageError, r"0\.tar: expected an uncompressed tar, got:"),
        ("tars/*.tar/*.avi", ConfigError, "matches no file"),
        ("tars/*.tar/d.mp4", ConfigError, "matches no file"),
    ],
)
def test_mistakes_are_one_sentence(
    pattern: str, error: type[Exception], message: str, downloaded: Path, tmp_path: Path
) -> None:
    whole = (downloaded / "tars" / "00000.tar").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "0.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "tars").symlink_to(downloaded / "tars")

    corpus = write_corpus(tmp_path, VIDEOS | {"videos": pattern}, **OPTIONS)
    with pytest.raises(error, match=message):
        main([corpus, str(tmp_path / "out")])
