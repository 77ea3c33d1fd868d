"""The corpus files that come with the package: what they take from the layout that they describe, and what never."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from PIL import Image

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, load
from surgstream.configs.presets import presets
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.corpus.file import CorpusConfig, Expected, find_corpus
from surgstream.shards.corpus.sources import find_sources
from surgstream.shards.packing.pipeline import pack
from surgstream.shards.storage.stores import Stores, open_storage
from tests.helpers.commands import pack as main
from tests.helpers.layouts import LAYOUTS
from tests.helpers.packing import load as load_manifest
from tests.helpers.packing import write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video, picture_of

TRAINED_ON = [name for name in LAYOUTS if name != "evaluate"]


@pytest.fixture(params=TRAINED_ON)
def preset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def corpus_of(preset: str, split: str = "train") -> CorpusConfig:
    return load(CorpusConfig, presets("pack")[preset], [f"pack.split={split}"])


def lay_out(root: Path, preset: str, *datasets: str) -> None:
    """Empty files, or folders of images: the videos of a preset where its release has them."""
    for dataset in datasets or LAYOUTS[preset]:
        for name in (name for names in LAYOUTS[preset][dataset] for name in names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir()


def found(corpus: CorpusConfig, root: Path) -> dict[str, list[str]]:
    sources: dict[str, list[str]] = {dataset.name: [] for dataset in corpus.datasets}
    for source in find_sources(corpus, root, Stores()):
        sources[source.dataset].append(str(Path(source.location).relative_to(root)))
    return {name: sorted(locations) for name, locations in sources.items()}


def test_each_has_a_layout_here() -> None:
    assert set(presets("pack")) == set(LAYOUTS)


@pytest.mark.slow
def test_held_out_is_what_the_split_says(
    preset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lay_out(tmp_path, preset)
    for number, split in enumerate(("train", "held_out")):
        expected = {dataset: sorted(trees[number]) for dataset, trees in LAYOUTS[preset].items()}
        assert found(corpus_of(preset, split), tmp_path) == expected
    assert not caplog.messages


def test_no_test_video_of_cholec80_is_trained_on(preset: str, tmp_path: Path) -> None:
    lay_out(tmp_path, preset, "cholec80")
    for stray in ("video041", "video41_small", "Video42"):
        video = tmp_path / LAYOUTS[preset]["cholec80"][0][0].replace("video01", stray)
        video.touch() if video.suffix else video.mkdir()
    parts = {
        split: corpus_of(preset, split).part(None, "cholec80") for split in ("train", "held_out")
    }
    ids = {
        split: {Path(path).stem for path in found(corpus, tmp_path)["cholec80"]}
        for split, corpus in parts.items()
    }
    assert {f"video{n}" for n in (73, 77, 78, 79, 80)} <= ids["held_out"]
    assert ids["train"] == {f"video{n:02}" for n in range(1, 41)}
    assert "73, 77, 78, 79 and 80" in (presets("pack")[preset]).read_text()


def test_counts_are_those_of_the_layout(preset: str) -> None:
    for dataset in corpus_of(preset).datasets:
        assert dataset.expected.videos in (None, len(LAYOUTS[preset][dataset.name][0]))


@pytest.mark.parametrize("preset", ["surgvista", "surgvista_frames"])
def test_settings_of_surgvista_grow(preset: str) -> None:
    corpus = corpus_of(preset)
    sets = [{dataset.name for dataset in corpus.part(name, None).datasets} for name in "ABCDE"]
    assert all(smaller < larger for smaller, larger in pairwise(sets))
    assert (sets[0], sets[3], sets[4]) == (
        {"cholec80"},
        set(LAYOUTS[preset]) - {"gensurgery"},
        set(LAYOUTS[preset]),
    )


@pytest.mark.parametrize("preset", ["surgvista", "surgvista_frames"])
def test_settings_of_surgvista_have_the_printed_shares(preset: str) -> None:
    """Of cholecystectomy: 100 % in A and B, 47.3 % in C, 17.4 % in D, whose 1.20 M frames are of 274 videos."""
    corpus, shares = corpus_of(preset), {}
    for name in "ABCD":
        datasets = corpus.part(name, None).datasets
        frames = [dataset.expected.frames or 0 for dataset in datasets]
        of_gall_bladders = sum(
            count
            for count, dataset in zip(frames, datasets, strict=True)
            if dataset.procedure == "cholecystectomy"
        )
        shares[name] = round(100 * of_gall_bladders / sum(frames), 1)
    assert shares == {"A": 100.0, "B": 100.0, "C": 47.3, "D": 17.4}
    assert (
        sum(dataset.expected.frames or 0 for dataset in corpus.part("D", None).datasets)
        == 1_203_159
    )
    assert sum(dataset.expected.videos or 0 for dataset in corpus.part("D", None).datasets) == 274


RECIPES_OF = {"surgvista": "surgvista_vitb", "surgvista_frames": "surgvista_vitb", "surgrec": "surgrec_mae_vitb",
              "unisurg": "unisurg_vitl_stage1"}  # fmt: skip


def test_each_is_packed_at_the_rate_of_its_recipe(preset: str) -> None:
    said = yaml.safe_load(presets("pack")[preset].read_text())["pack"]["fps"]
    recipe = yaml.safe_load(presets("pretrain")[RECIPES_OF[preset]].read_text())
    assert said == recipe["data"]["fps"]


def test_short_videos_of_the_web_are_left_out() -> None:
    for preset in ("surgvista", "surgvista_frames"):
        assert {
            each.name: each.min_seconds for each in corpus_of(preset).datasets if each.min_seconds
        } == {"gensurgery": 60}


def test_both_forms_of_surgvista_are_the_same_corpus() -> None:
    videos, frames = (corpus_of(name) for name in ("surgvista", "surgvista_frames"))
    assert videos.subsets == frames.subsets
    for one, other in zip(videos.datasets, frames.datasets, strict=True):
        for name in ("name", "specialty", "procedure", "licence", "expected"):
            assert getattr(one, name) == getattr(other, name)


def test_a_part_of_a_dataset_is_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in LAYOUTS["surgvista"]["cholec80"][0][:3]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert len(found(corpus_of("surgvista").part("A", None), tmp_path)["cholec80"]) == 3
    assert caplog.messages == [
        "datasets: cholec80: hold_out: no video matches video4[1-9], video[5-8][0-9]"
    ]


def test_what_is_not_there_is_named_with_its_layout(tmp_path: Path) -> None:
    lay_out(tmp_path, "surgvista", "cholec80")
    message = r"m2cai16: videos: 'M2CAI16-workflow/videos/\*.* matches no file below .*; .* by --datasets or --subset"
    with pytest.raises(ConfigError, match=message):
        find_sources(corpus_of("surgvista"), tmp_path, Stores())


def test_a_glob_holds_out_what_it_matches_and_an_id_itself(tmp_path: Path) -> None:
    for name in ("v1", "v2", "v[12]", "w1"):
        (tmp_path / f"{name}.mp4").touch()
    for hold_out, trained in (
        (["v?"], ["v[12]", "w1"]),
        (["v[12]"], ["v1", "v2", "w1"]),
        (["v1", "w*"], ["v2", "v[12]"]),
    ):
        dataset = {
            "name": "d",
            "specialty": "s",
            "procedure": "p",
            "videos": "*.mp4",
            "hold_out": hold_out,
        }
        corpus = build(CorpusConfig, {"datasets": [dataset]}, where="corpus.yaml")
        assert [Path(name).stem for name in found(corpus, tmp_path)["d"]] == trained


@pytest.mark.slow
def test_a_preset_packs_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video(tmp_path / "v.mp4", 50).read_bytes()
    for name in (
        "Cholec80/videos/video01.mp4",
        "Cholec80/videos/video73.mp4",
        "AutoLaparo/videos/01.mp4",
    ):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(video)
    monkeypatch.chdir(tmp_path / "data")
    (tmp_path / "data" / "surgvista").mkdir()  # a folder is no corpus file
    words = ["surgvista", "../out", "--datasets", "autolaparo,cholec80"]
    assert main([*words, "--plan-only"]) == main([*words, "--part=0/1"]) == main(words) == 0
    shards = load_manifest(tmp_path / "out").shards
    assert [(shard.dataset, [v.id for v in shard.videos]) for shard in shards] == [
        ("autolaparo", ["01"]),
        ("cholec80", ["video01"]),
    ]
    monkeypatch.chdir(tmp_path)
    assert main(["surgvista", "a", "--subset", "A", "--root", "data"]) == 0
    assert [shard.dataset for shard in load_manifest(tmp_path / "a").shards] == ["cholec80"]
    capsys.readouterr()
    assert surgstream(["pack", "surgvista", "b", "--root", "data"]) == 2
    assert "m2cai16: videos: 'M2CAI16-workflow/" in capsys.readouterr().err


def test_frames_pack_as_the_released_code_has_them(tmp_path: Path) -> None:
    for folder in ("train/video02", "test/video77"):
        (tmp_path / "Cholec80" / "frames" / folder).mkdir(parents=True)
        for number in range(3):
            image = tmp_path / "Cholec80" / "frames" / folder / f"{number:05}.png"
            Image.fromarray(picture_of(number)).save(image)
    assert (
        main(["surgvista_frames", str(tmp_path / "out"), "--root", str(tmp_path), "--subset=A"])
        == 0
    )
    videos = load_manifest(tmp_path / "out").shards[0].videos
    assert [(video.id, video.num_frames) for video in videos] == [("video02", 3)]


@pytest.mark.slow
def test_root_on_s3(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", 25).read_bytes()
    dataset = {
        "name": "d",
        "videos": "in/*.mp4",
        "hold_out": "in/test.txt",
        "labels": {"phase": "in/{video}.csv"},
    }
    corpus = write_corpus(tmp_path, dataset)
    with s3_bucket("sources") as bucket:
        for name, content in {
            "v1.mp4": video,
            "v2.mp4": video,
            "test.txt": b"v2\n",
            "v1.csv": b"second,phase\n0,a\n",
        }.items():
            open_storage(bucket).write(f"deep/in/{name}", content)
        assert main([corpus, str(tmp_path / "out"), "--root", f"{bucket}/deep/"]) == 0
    assert [video.id for video in load_manifest(tmp_path / "out").shards[0].videos] == ["v1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["surgvsta"],
            "surgvsta: expected a corpus file, a folder of videos or one of .*; did you mean 'surgvista'",
        ),
        (["no/such.yaml"], "no/such.yaml: expected a corpus file, a folder of videos"),
        (["surgvista", "--subset", "a"], "--subset: expected one of A, B, C, D, E, got 'a'"),
        (
            ["surgvista", "--datasets", "cholec80,pitviz"],
            "--datasets: .*got 'pitviz'; did you mean 'pitvis'",
        ),
        (
            ["surgrec", "--subset", "A"],
            "--subset: expected one of those in the file, which has none, got 'A'",
        ),
    ],
)
def test_mistakes_of_words(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = words
    assert surgstream(["pack", name, str(tmp_path / "out"), *options]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_folder_with_the_name_of_a_preset_is_named_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "surgvista").mkdir()
    monkeypatch.chdir(tmp_path)
    assert surgstream(["pack", "surgvista", "out", "--print-corpus"]) == 0
    assert "takes the preset surgvista; the folder here is ./surgvista" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["d", "dd"], "subsets.A: no dataset has the name 'dd'; did you mean 'd'"),
        ([], "subsets.A: .* got none"),
    ],
)
def test_a_subset_is_of_datasets(members: list[str], message: str) -> None:
    dataset = {"name": "d", "specialty": "s", "procedure": "p", "videos": "*.mp4"}
    with pytest.raises(ConfigError, match=message):
        build(CorpusConfig, {"datasets": [dataset], "subsets": {"A": members}}, where="corpus.yaml")


@pytest.mark.slow
def test_counts_that_differ_are_told_and_nothing_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("v1", "v2"):
        make_video(tmp_path / f"{name}.mp4", 75)
    for expected, messages in (
        ({"videos": 1, "frames": 3, "hours": 3 / 3600}, []),
        ({"videos": 2}, ["datasets: d: expected 2 videos, got 1"]),
        ({"frames": 4}, ["datasets: d: expected 4 frames at 1 a second, got 3"]),
        ({"hours": 0.5}, ["datasets: d: expected 0.5 hours, got 0.000833333"]),
    ):
        dataset = {"name": "d", "videos": "*.mp4", "hold_out": ["v2"], "expected": expected}
        corpus, out = write_corpus(tmp_path, dataset, fps=2), str(tmp_path / "out")
        assert main([corpus, out, "--plan-only"]) == main([corpus, out]) == 0
        assert caplog.messages == 2 * messages
        caplog.clear()
        assert main([corpus, str(tmp_path / "held_out"), "split=held_out"]) == 0
        assert main([corpus, str(tmp_path / "all"), "split=all"]) == 0
        assert not caplog.messages


@pytest.mark.slow
def test_counts_of_all_are_compared_where_nothing_is_held_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_video(tmp_path / "v1.mp4", 50)
    dataset = {"name": "d", "videos": "*.mp4", "expected": {"videos": 2}}
    corpus = write_corpus(tmp_path, dataset)
    assert main([corpus, str(tmp_path / "out"), "split=all"]) == 0
    assert caplog.messages == ["datasets: d: expected 2 videos, got 1"]


@pytest.mark.slow
def test_counts_of_whole_sets_are_compared_where_all_is_packed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("v1", "v2"):
        make_video(tmp_path / f"{name}.mp4", 50)
    counts = {"expected": {"videos": 1}, "whole": {"videos": 3}}
    dataset = {"name": "d", "videos": "*.mp4", "hold_out": ["v2"], **counts}
    corpus = write_corpus(tmp_path, dataset)
    assert main([corpus, str(tmp_path / "train")]) == 0
    assert main([corpus, str(tmp_path / "held_out"), "split=held_out"]) == 0
    assert not caplog.messages
    assert main([corpus, str(tmp_path / "all"), "split=all"]) == 0
    assert caplog.messages == ["datasets: d: expected 3 videos, got 2"]


def test_published_numbers_are_rounded() -> None:
    assert not list(Expected(hours=22).differences(9, 21.6 * 3600))
    assert list(Expected(hours=22).differences(9, 21.5 * 3600))


def test_where_paths_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "surgrec").write_text(yaml.safe_dump({}))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.yaml").touch()
    assert find_corpus("surgvista") == (presets("pack")["surgvista"], ".")
    assert find_corpus("surgrec") == (Path("surgrec"), ".")
    assert find_corpus("a/b.yaml") == (Path("a/b.yaml"), "a")


@pytest.mark.slow
def test_shards_of_a_smaller_set_are_kept_by_a_larger(tmp_path: Path) -> None:
    datasets = []
    for name in ("d", "e"):
        make_video(tmp_path / name / "v.mp4", 25)
        datasets.append(
            {"name": name, "specialty": "s", "procedure": "p", "videos": f"{name}/*.mp4"}
        )
    corpus = build(CorpusConfig, {"datasets": datasets}, where="corpus.yaml")
    out = open_storage(str(tmp_path / "out"))
    first = pack(corpus.part(None, "d"), tmp_path, out).manifest.shards
    assert pack(corpus, tmp_path, out).manifest.shards[:1] == first
    with pytest.raises(ConfigError, match="holds shards of dataset 'e'"):
        pack(corpus.part(None, "d"), tmp_path, out)
