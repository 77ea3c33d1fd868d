"""The corpus file: which videos it means."""

import re
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.corpus.sources import Source, find_sources
from surgstream.shards.storage.stores import Stores, open_storage
from tests.helpers.s3 import s3_bucket

FILES = (
    "a/v1.mp4",
    "a/v2.mp4",
    "a/deep/v3.mp4",
    "b/v1.avi",
    "b/notes.txt",
    "b/x[1].mp4",
    "labels/x[1].csv",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("second,phase\n" if name.endswith(".csv") else "")
    return tmp_path


def corpus(split: str = "train", **dataset: object) -> CorpusConfig:
    tree = {"name": "d", "specialty": "s", "procedure": "p", **dataset}
    return build(CorpusConfig, {"datasets": [tree], "pack": {"split": split}}, where="corpus.yaml")


def find(folder: Path, split: str = "train", **dataset: object) -> list[Source]:
    return find_sources(corpus(split, **dataset), folder, Stores())


def names(sources: list[Source]) -> list[str]:
    return [source.name for source in sources]


@pytest.mark.parametrize(
    ("videos", "expected"),
    [
        ("a/*.mp4", ["v1.mp4", "v2.mp4"]),
        ("a/**/*.mp4", ["v3.mp4", "v1.mp4", "v2.mp4"]),
        (["a/v2.mp4", "a/*.mp4"], ["v2.mp4", "v1.mp4"]),
        ("b/*", ["notes.txt", "v1.avi", "x[1].mp4"]),
        ("b/x[1].mp4", ["x[1].mp4"]),
        (["a/v1.mp4", "a/not there.mp4"], ["v1.mp4", "not there.mp4"]),
    ],
)
def test_paths_and_globs(folder: Path, videos: object, expected: list[str]) -> None:
    sources = find(folder, videos=videos)
    assert names(sources) == expected
    assert all(Path(source.location).is_absolute() for source in sources)


@pytest.mark.slow
def test_globs_on_s3(tmp_path: Path) -> None:
    with s3_bucket("sources") as bucket:
        for name in FILES:
            open_storage(bucket).write(f"in/{name}", b"")
        assert [source.location for source in find(tmp_path, videos=f"{bucket}/in/*/v*.mp4")] == [
            f"{bucket}/in/a/v1.mp4",
            f"{bucket}/in/a/v2.mp4",
        ]
        assert names(find(tmp_path, videos=f"{bucket}/in/b/v1.avi")) == ["v1.avi"]
        with pytest.raises(ConfigError, match="matches no file"):
            find(tmp_path, videos=f"{bucket}/in/*/*.mov")


def test_held_out_videos_are_in_one_split_only(folder: Path) -> None:
    (folder / "held_out.txt").write_bytes(
        b"\xef\xbb\xbfv2\n\n"
    )  # some editors put a mark before a text
    for hold_out in (["v2"], "held_out.txt"):
        assert names(find(folder, videos="a/*.mp4", hold_out=hold_out)) == ["v1.mp4"]
        assert names(find(folder, "held_out", videos="a/*.mp4", hold_out=hold_out)) == ["v2.mp4"]
        both = find(folder, "all", videos="a/*.mp4", hold_out=hold_out)
        assert names(both) == ["v1.mp4", "v2.mp4"]


def test_all_need_no_video_held_out_and_none_left_to_train(folder: Path) -> None:
    for hold_out in ([], ["v1"], ["v1", "v2"]):
        assert len(find(folder, "all", videos="a/*.mp4", hold_out=hold_out)) == 2


def two_datasets(
    folder: Path, split: str, one: dict[str, object], two: dict[str, object]
) -> list[Source]:
    described = [
        {"name": name, "specialty": "s", "procedure": "p", **tree}
        for name, tree in (("d", one), ("e", two))
    ]
    config = build(
        CorpusConfig, {"datasets": described, "pack": {"split": split}}, where="corpus.yaml"
    )
    return find_sources(config, folder, Stores())


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("swapped", [False, True])
def test_no_dataset_trains_on_what_another_holds_out(
    folder: Path, split: str, swapped: bool
) -> None:
    (folder / "c").mkdir()
    (folder / "c" / "other name.mp4").symlink_to(folder / "a" / "v2.mp4")
    holder = {"videos": "a/*.mp4", "hold_out": ["v2"]}
    for videos in ("a/**/*.mp4", "c/*"):
        both = (holder, {"videos": videos})[:: -1 if swapped else 1]
        trains, holds = ("d", "e") if swapped else ("e", "d")
        with pytest.raises(
            ConfigError,
            match=f"{trains}: expected no video that {holds} holds out, got .*{trains} as",
        ):
            two_datasets(folder, split, *both)
    everything = two_datasets(folder, "all", holder, {"videos": "c/*"})
    assert [source.dataset for source in everything] == ["d", "d", "e"]
    agreed = two_datasets(folder, "held_out", holder, {"videos": "a/v2.mp4", "hold_out": ["v2"]})
    assert [(source.dataset, source.name) for source in agreed] == [
        ("d", "v2.mp4"),
        ("e", "v2.mp4"),
    ]


def test_a_dataset_has_a_file_once_by_whatever_name(folder: Path) -> None:
    (folder / "a" / "link.mp4").symlink_to(folder / "a" / "v2.mp4")
    (folder / "linked").symlink_to(folder / "a")
    assert names(find(folder, videos=["a/v*.mp4", "a/*.mp4", "linked/*.mp4"])) == [
        "v1.mp4",
        "v2.mp4",
    ]
    with pytest.raises(ConfigError, match="no video has the id 'link'"):
        find(folder, videos=["a/v*.mp4", "a/*.mp4"], hold_out=["link"])


def test_ids_and_labels_come_from_the_file_name(folder: Path) -> None:
    source = find(folder, videos="b/x*", labels={"phase": "labels/{video}.csv"})[0]
    assert source.id.startswith("x_1_--")
    assert source.labels == {"phase": str(folder / "labels" / "x[1].csv")}


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """Files as a recorder leaves them: every case begins with 00000."""
    for case in ("case1", "case2", "case3"):
        for number in ("00000", "00001"):
            (tmp_path / case).mkdir(exist_ok=True)
            (tmp_path / case / f"{number}.MTS").write_bytes(b"")
            (tmp_path / case / f"{number}.csv").write_text("second,phase\n")
    return tmp_path


def test_equal_ids_are_all_named_at_once_with_the_pattern_that_tells_them_apart(
    recorder: Path,
) -> None:
    with pytest.raises(ConfigError) as caught:
        find(recorder, videos="*/*.MTS")
    said = str(caught.value)
    assert "got 2 ids of several; set `id: '{parent}_{stem}'`" in said
    for number in ("00000", "00001"):
        assert re.search(
            rf"'{number}': .*case1/{number}.MTS and .*case2/{number}.MTS and .*case3/{number}.MTS",
            said,
        )


def test_equal_ids_are_named_up_to_a_number(tmp_path: Path) -> None:
    for number in range(300):
        for folder in ("a/x", "b/x"):
            (tmp_path / folder).mkdir(exist_ok=True, parents=True)
            (tmp_path / folder / f"{number}.mp4").write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        find(tmp_path, videos="**/*.mp4")
    assert "got 300 ids of several; set `id: '{grandparent}_{parent}_{stem}'`" in str(caught.value)
    assert str(caught.value).endswith("and 290 more") and len(str(caught.value).splitlines()) == 12


def test_ids_from_folders_are_those_of_hold_out_and_labels(recorder: Path) -> None:
    dataset = {"videos": "*/*.MTS", "id": "{parent}_{stem}", "hold_out": ["case3_*", "case1_00001"]}
    (recorder / "labels").mkdir()
    (recorder / "labels" / "case1_00000.csv").write_text("second,phase\n")
    for labels in ("labels/{video}.csv", "{parent}/{stem}.csv"):
        train, held_out = (
            find(recorder, split, labels={"phase": labels}, **dataset)
            for split in ("train", "held_out")
        )
        assert [source.id for source in train] == ["case1_00000", "case2_00000", "case2_00001"]
        assert [source.id for source in held_out] == ["case1_00001", "case3_00000", "case3_00001"]
        expected = (
            labels.replace("{video}", "case1_00000")
            .replace("{parent}", "case1")
            .replace("{stem}", "00000")
        )
        assert train[0].labels == {"phase": str(recorder / expected)}


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"videos": "c/*.mp4"}, r"datasets: d: videos: 'c/\*\.mp4' matches no file"),
        (
            {"videos": ["a/v1.mp4", "b/v1.avi"]},
            "one video of an id, got 1 ids of several.*\n.*'v1': .*v1.mp4 and .*v1.avi",
        ),
        ({"videos": "a/*.mp4", "hold_out": ["v7"]}, "hold_out: no video has the id 'v7'"),
        ({"videos": "a/*.mp4", "hold_out": "no file"}, "hold_out: expected a file of ids"),
        (
            {"videos": "a/*.mp4", "hold_out": ["v1", "v2"]},
            "nothing to pack: all videos are held out",
        ),
        ({"videos": "a/*.mp4", "split": "held_out"}, "nothing to pack: no video is held out"),
        (
            {"videos": "http://x/a.mp4"},
            "videos: expected a path, s3://BUCKET/PREFIX or file:///PATH, got 'http:",
        ),
        (
            {"videos": "a/*.mp4", "labels": {"phase": "lables/{video}.csv"}},
            "labels.phase: .*lables.* got none",
        ),
        ({"videos": "a/*.mp4", "id": "{stm}"}, "id: expected .*, got {stm}; did you mean 'stem'"),
        (
            {"videos": "a/*.mp4", "id": "video"},
            "id: expected a pattern such as '{parent}_{stem}', got 'video'",
        ),
        ({"videos": []}, "videos: expected a file, a glob or a list of them"),
        ({"videos": "a/*.mp4", "name": "x/y"}, "name: expected 1 to 80 characters"),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, dataset: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find(folder, **dataset)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("fps", fps) for fps in (0, -1, 1e300, 1e-300, float("inf"), float("nan"))),
        *(("short_side", 8), ("jpeg_quality", 101), ("segment_frames", 0), ("workers", 0)),
    ],
)
def test_options_have_limits(key: str, value: object) -> None:
    with pytest.raises(
        ConfigError, match=rf"pack[:.] ?{key}: expected .*, got {re.escape(str(value))}"
    ):
        build(CorpusConfig, {"datasets": [], "pack": {key: value}}, where="corpus.yaml")


def test_a_dataset_stands_once() -> None:
    one = {"name": "d", "specialty": "s", "procedure": "p", "videos": "*.mp4"}
    with pytest.raises(ConfigError, match="expected names that differ, got 'd'"):
        build(CorpusConfig, {"datasets": [one, one]}, where="corpus.yaml")
