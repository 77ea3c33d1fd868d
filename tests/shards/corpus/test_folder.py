"""A folder of videos is packed as its corpus file would be."""

from pathlib import Path

import pytest
import yaml

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.corpus.folder import describe_folder
from surgstream.shards.storage.stores import open_storage
from tests.helpers.packing import load
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def dataset(folder: Path, hold_out: int = 0) -> dict[str, object]:
    (described,) = describe_folder(str(folder), [], hold_out=hold_out)["datasets"]
    assert isinstance(described, dict)
    return described


@pytest.mark.slow
def test_a_folder_and_its_corpus_file_pack_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my videos"
    for case in ("case1", "case2"):
        make_video(folder / case / "00000.mp4", 50)
    assert surgstream(["pack", str(folder), "-", "--print-corpus", "--hold-out=1", "fps=2"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "corpus.yaml").write_text(text)
    assert surgstream(["pack", str(folder), str(tmp_path / "one"), "--hold-out=1", "fps=2"]) == 0
    said = capsys.readouterr().out
    assert text in said and "times real time" in said
    assert surgstream(["pack", str(tmp_path / "corpus.yaml"), str(tmp_path / "two")]) == 0
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert one == two
    assert [(shard.dataset, [video.id for video in shard.videos]) for shard in one.shards] == [
        ("my_videos", ["case1_00000"])
    ]
    assert surgstream(["pack", str(tmp_path / "corpus.yaml"), str(tmp_path / "two")]) == 0
    assert "all was packed before" in capsys.readouterr().out


def test_all_videos_are_found_and_nothing_else(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.mp4",
        "deep/er/b.MTS",
        ".hidden/c.mp4",
        "._a.mp4",
        "notes.txt",
        "labels/a.csv",
        "d.mp4.part",
    )
    assert dataset(tmp_path)["videos"] == [f"{tmp_path}/**/*.MTS", f"{tmp_path}/**/*.mp4"]


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a.mp4", "x/b.mp4"], None),
        (["x/a.mp4", "y/a.mp4"], "{parent}_{stem}"),
        (["x/1/a.mp4", "y/1/a.mp4"], "{grandparent}_{parent}_{stem}"),
        (
            [f"{case}/PRIVATE/AVCHD/BDMV/STREAM/00000.MTS" for case in ("x", "y")],
            "{parent5}_{stem}",
        ),
    ],
)
def test_ids_take_what_they_need_of_the_path(
    tmp_path: Path, names: list[str], pattern: str | None
) -> None:
    assert dataset(touch(tmp_path, *names)).get("id") == pattern


def test_some_are_held_out_but_never_all(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    for number, held_out in ((0, None), (1, ["c"]), (2, ["b", "c"]), (9, ["b", "c"])):
        assert dataset(tmp_path, number).get("hold_out") == held_out


def test_a_folder_of_a_bucket(tmp_path: Path) -> None:
    with s3_bucket("videos") as bucket:
        open_storage(bucket).write("in/a.mp4", b"")
        tree = describe_folder(f"{bucket}/in/", ["fps=5"], hold_out=0)
    assert tree["datasets"][0]["name"] == "in" and tree["datasets"][0]["videos"] == [
        f"{bucket}/in/**/*.mp4"
    ]
    assert tree["pack"] == {"fps": 5}


def test_mistakes_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="expected a folder with videos"):
        describe_folder(str(touch(tmp_path, "a.txt")), [], hold_out=0)
    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump({"datasets": []}))
    assert surgstream(["pack", str(tmp_path / "corpus.yaml"), "out", "--hold-out", "1"]) == 2
    assert "--hold-out: expected a folder of videos" in capsys.readouterr().err
    assert surgstream(["launch", "pack", "cpu_test", str(tmp_path), "out", "--tasks", "1"]) == 2
    assert "--print-corpus > corpus.yaml" in capsys.readouterr().err


def test_a_file_that_links_lead_to_is_one_video(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    for name in ("a.mp4", "b.mp4"):
        make_video(folder / name, 10)
    (folder / "z.mp4").symlink_to("a.mp4")
    assert dataset(folder, hold_out=1)["hold_out"] == ["b"]
    assert (
        surgstream(["pack", str(folder), str(tmp_path / "out"), "--hold-out=1", "--plan-only"]) == 0
    )
