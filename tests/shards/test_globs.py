"""Globs, against the standard library's on a disk, and on one tree of names in both kinds of store."""

import glob
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.corpus.sources import find_sources
from surgstream.shards.errors import StorageError
from surgstream.shards.globs import Names, find, split_glob, walk
from surgstream.shards.storage.stores import Stores, open_storage
from tests.helpers.s3 import s3_bucket

STEPS = st.sampled_from(["a", "ab", "b", ".a", "._a.mp4", "a.mp4", "b.mp4"])
PATTERN_STEPS = st.sampled_from(
    ["**", "*", "?", "a", "a*", "[ab]", "*.mp4", ".*", ".a", "[!b]*", "**.mp4", "b.mp4"]
)
TREES = st.lists(st.lists(STEPS, min_size=1, max_size=4).map("/".join), max_size=8)
PATTERNS = st.lists(PATTERN_STEPS, min_size=1, max_size=4).map("/".join)


def without_clashes(names: list[str]) -> list[str]:
    """On a disk a name is a file or a folder."""
    above = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    return [name for name in names if name not in above]


@pytest.mark.slow
@given(TREES, PATTERNS)
@settings(derandomize=True, deadline=None, max_examples=400)
def test_a_glob_is_that_of_the_standard_library(names: list[str], pattern: str) -> None:
    names = without_clashes(names)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        found = {path.rstrip("/") for path in glob.glob(pattern, root_dir=folder, recursive=True)}
        expected = {(path, os.path.isdir(os.path.join(folder, path))) for path in found}
        on_disk = list(find(open_storage(folder).tree(), pattern))
    in_a_listing = list(find(Names(names), pattern))
    assert len(set(on_disk)) == len(on_disk), "once each"
    assert set(on_disk) - {("", True)} == set(in_a_listing) - {("", True)} == expected


@given(TREES)
@settings(derandomize=True, deadline=None)
def test_walking_finds_every_name(names: list[str]) -> None:
    names = sorted(set(without_clashes(names)))
    assert sorted(walk(Names([*names, *(f"{name}.folder/" for name in names)]))) == names


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("*.mp4", ("", "*.mp4")),
        ("a/b/*.mp4", ("a/b/", "*.mp4")),
        ("/*/x", ("/", "*/x")),
        ("s3://bucket/a b/[12]/**", ("s3://bucket/a b/", "[12]/**")),
        ("a/v.mp4", ("a/", "v.mp4")),
    ],
)
def test_a_pattern_is_split_before_its_first_magic(pattern: str, parts: tuple[str, str]) -> None:
    assert split_glob(pattern) == parts


TREE = (
    "a.mp4", "one/b.mp4", "one/._b.mp4", "one/two/c.mp4", "one/two/case[1].mp4", "one/two/case1.mp4", ".trash/d.mp4",
    "OR [2]/e.mp4", "folder.mp4/f.txt", "frames/v1/001.png", "frames/v2/left/001.png", "frames/.cache/001.png",
)  # fmt: skip

VIDEOS = {
    "**/*.mp4": ["OR [2]/e.mp4", "a.mp4", "folder.mp4", "one/b.mp4", "one/two/c.mp4", "one/two/case1.mp4",
                 "one/two/case[1].mp4"],
    "**/two/*.mp4": ["one/two/c.mp4", "one/two/case1.mp4", "one/two/case[1].mp4"],
    "one/**/b.mp4": ["one/b.mp4"],
    "one/*": ["one/b.mp4"],
    "one/.*": ["one/._b.mp4"],
    ".trash/*": [".trash/d.mp4"],
    "one/two/case[1].mp4": ["one/two/case[1].mp4"],
    "one/two/c[a]se[1].mp4": ["one/two/case1.mp4"],
    "OR [2]/*.mp4": ["OR [2]/e.mp4"],
    "*/two/case?.mp4": ["one/two/case1.mp4"],
}  # fmt: skip

IMAGES = {
    "frames/*": ["frames/v1", "frames/v2"],
    "frames/**": ["frames", "frames/v1", "frames/v2", "frames/v2/left"],
    "**/v[12]": ["frames/v1", "frames/v2"],
    "OR [2]": ["OR [2]"],
}


@pytest.fixture(scope="module", params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One tree of names, in either store."""
    if request.param == "folder":
        folder = str(tmp_path_factory.mktemp("OR [1]"))
        for name in TREE:
            open_storage(folder).write(name, b"")
        yield folder
        return
    with s3_bucket("globs") as bucket:
        for name in TREE:
            open_storage(f"{bucket}/OR [1]").write(name, b"")
        yield f"{bucket}/OR [1]"


def find_in(root: str, videos: str, **more: object) -> list[str]:
    tree = {"name": "d", "specialty": "s", "procedure": "p", "videos": videos, **more}
    corpus = build(CorpusConfig, {"datasets": [tree]}, where="corpus.yaml")
    return [
        source.location.removeprefix(f"{root}/") for source in find_sources(corpus, root, Stores())
    ]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", VIDEOS)
def test_both_kinds_of_store_find_the_same_videos(root: str, pattern: str) -> None:
    assert find_in(root, pattern) == VIDEOS[pattern]
    whole = [f"{root}/{name}" for name in VIDEOS[pattern]]
    assert find_in("/elsewhere", f"{root}/{pattern}") == whole, (
        "although the root has brackets, too"
    )


@pytest.mark.slow
@pytest.mark.parametrize("pattern", IMAGES)
def test_both_kinds_of_store_find_the_same_folders_of_images(root: str, pattern: str) -> None:
    assert find_in(root, pattern, image_fps=1.0) == IMAGES[pattern]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["**/*.mov", "nowhere/*.mp4", "a.mp4/*"])
def test_what_matches_nothing_is_a_mistake(root: str, pattern: str) -> None:
    with pytest.raises(ConfigError, match="matches no file below"):
        find_in(root, pattern)


@pytest.mark.slow
def test_names_that_only_a_bucket_has() -> None:
    deep = "/".join(["d"] * 500) + "/deep.mp4"
    with s3_bucket("odd") as bucket:
        client = boto3.client("s3")
        for key in (
            "in/",
            "in/empty/",
            "in/a//b.mp4",
            "in/v.mp4",
            "in/v.mp4/part.mp4",
            f"in/{deep}",
        ):
            client.put_object(Bucket="odd", Key=key, Body=b"")
        found = find_in(f"{bucket}/in", "**/*.mp4")
        assert found == ["a//b.mp4", deep, "v.mp4", "v.mp4/part.mp4"]
        assert open_storage(f"{bucket}/in").size("a//b.mp4") == 0
        assert find_in(f"{bucket}/in", "*", image_fps=1.0) == ["a", "d", "empty", "v.mp4"]
        assert (
            "" not in open_storage(f"{bucket}/in").sizes()
            and "empty/" not in open_storage(f"{bucket}/in").sizes()
        )


def test_no_more_of_a_disk_is_read_than_the_pattern_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/videos/v.mp4", "a/frames/v/1.png", "b/videos/w.mp4", "c.mp4"):
        open_storage(str(tmp_path)).write(name, b"")
    read, scandir = [], os.scandir

    def noting(path: Path) -> object:
        read.append(str(Path(path).relative_to(tmp_path)))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noting)
    assert find_in(str(tmp_path), "*/videos/*.mp4") == ["a/videos/v.mp4", "b/videos/w.mp4"]
    assert sorted(read) == [".", "a", "a/videos", "b", "b/videos"]


def test_circles_of_links_end_and_links_to_nothing_are_told_of(tmp_path: Path) -> None:
    for name in ("a/v.mp4", "b/w.mp4"):
        open_storage(str(tmp_path)).write(name, b"")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "itself.mp4").symlink_to(tmp_path / "b" / "itself.mp4")
    (tmp_path / "b" / "gone.mp4").symlink_to(tmp_path / "nothing.mp4")
    found = {name for name, _ in find(open_storage(str(tmp_path)).tree(), "**/*.mp4")}
    assert {
        "a/v.mp4",
        "b/w.mp4",
        "b/itself.mp4",
        "b/gone.mp4",
        "a/to_b/w.mp4",
        "b/to_a/v.mp4",
    } <= found
    assert all(name.count("/") < 4 for name in found)


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/v.mp4", "private/w.mp4", "disk/lost+found/x.mp4", "disk/y.mp4"):
        open_storage(str(tmp_path)).write(name, b"")
    scandir = os.scandir

    def denying(path: Path) -> object:
        if Path(path).name in ("private", "lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denying)
    for read in (lambda: find_in(str(tmp_path), "**/*.mp4"), open_storage(str(tmp_path)).sizes):
        with pytest.raises(
            StorageError,
            match=r"private/ cannot be listed \(Permission denied\).* left out; make it",
        ):
            read()
    assert find_in(str(tmp_path), "[!p]*/*.mp4") == ["a/v.mp4", "disk/y.mp4"]
    assert list(open_storage(str(tmp_path / "disk")).sizes()) == ["y.mp4"]
