"""`croissant.json`: valid to MLCommons' own reader, true of the corpus, and silent about videos and places."""

import fnmatch
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.corpus.about import AboutConfig
from tests.helpers.commands import pack
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.videos import make_video

OPTIONS = ["fps=2", "short_side=32", "workers=1"]

ABOUT = {
    "name": "Two operations",
    "description": "Made up.",
    "url": "https://example.org/corpus",
    "creators": ["A hospital"],
    "published": "2026-05-01",
    "version": "1.0.0",
    "citation": "@misc{two}",
    "collection": "By a camera.",
    "sensitive": ["Ages were removed."],
    "limitations": ["Two videos are few."],
    "biases": ["One hospital."],
    "use_cases": ["Tests."],
}

READER = """\
import json, sys
import mlcroissant

dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = dataset.metadata.ctx.issues
rows = {name: list(dataset.records(name)) for name in sys.argv[2:]}
for records in rows.values():
    for record in records:
        for key, value in record.items():
            record[key] = value.decode() if isinstance(value, bytes) else value
print(json.dumps({"errors": sorted(issues.errors), "warnings": sorted(issues.warnings), "rows": rows}))
"""
"""MLCommons' reader in a process of its own: rdflib warns of itself."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "knees" / "Miller Anna.mp4", 130)
    make_video(folder / "knees" / "secondknee.mp4", 60)
    make_video(folder / "eyes" / "someeye.mp4", 50)
    return folder


def describe(folder: Path, **more: Any) -> str:
    path = write_corpus(
        folder,
        {"name": "knees", "videos": "knees/*", "licence": "CC-BY-NC-SA-4.0", "hold_out": []},
        {"name": "eyes", "videos": "eyes/*"},
        segment_frames=4,
    )
    tree = yaml.safe_load(Path(path).read_text())
    Path(path).write_text(yaml.safe_dump(tree | more))
    return path


@pytest.fixture(scope="module")
def packed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "out"
    assert pack([describe(videos, about=ABOUT), str(out), *OPTIONS]) == 0
    return out


@pytest.fixture(scope="module")
def bare(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of which the corpus file tells nothing beside."""
    out = tmp_path_factory.mktemp("bare") / "out"
    assert pack([describe(videos), str(out), *OPTIONS]) == 0
    return out


def croissant(corpus: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((corpus / "croissant.json").read_text())
    return tree


def read_by_mlcommons(corpus: Path, cache: Path, *record_sets: str) -> dict[str, Any]:
    words = [sys.executable, "-W", "ignore", "-c", READER, str(corpus / "croissant.json")]
    found = subprocess.run(
        [*words, *record_sets],
        env=os.environ | {"CROISSANT_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    tree: dict[str, Any] = json.loads(found.stdout)
    return tree


@pytest.mark.slow
def test_the_reader_of_mlcommons_misses_nothing(packed: Path, tmp_path: Path) -> None:
    found = read_by_mlcommons(packed, tmp_path, "datasets", "splits")
    assert not found["errors"] and not found["warnings"]

    assert found["rows"]["splits"] == [{"splits/name": "train", "splits/url": "cr:TrainingSplit"}]
    shards = load(packed).shards
    for row in found["rows"]["datasets"]:
        videos = [v for s in shards if s.dataset == row["datasets/name"] for v in s.videos]
        assert row["datasets/videos"] == len(videos)
        assert row["datasets/frames"] == sum(video.num_frames for video in videos)
        assert row["datasets/hours"] == pytest.approx(row["datasets/frames"] / 7200, abs=1e-4)
    assert {row["datasets/name"]: row["datasets/licence"] for row in found["rows"]["datasets"]} == {
        "eyes": "unknown",
        "knees": "CC-BY-NC-SA-4.0",
    }


@pytest.mark.slow
def test_what_nobody_tells_is_left_out_and_is_no_error(bare: Path, tmp_path: Path) -> None:
    found = read_by_mlcommons(bare, tmp_path)
    assert not found["errors"] and len(found["warnings"]) == 3
    assert not {"url", "creator", "datePublished", "version", "citeAs"} & croissant(bare).keys()
    assert "null" not in (bare / "croissant.json").read_text()


def test_it_has_what_the_specification_asks_for(packed: Path) -> None:
    tree = croissant(packed)
    for name in (
        "@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished",
        "distribution",
    ):  # fmt: skip
        assert tree[name], name
    assert "http://mlcommons.org/croissant/1.1" in tree["conformsTo"]
    assert tree["license"] == ["https://spdx.org/licenses/CC-BY-NC-SA-4.0.html", "unknown"]
    assert tree["rai:dataCollection"] == "By a camera."
    assert "Ages were removed." in tree["rai:personalSensitiveInformation"]
    assert tree["rai:dataBiases"] == ["One hospital."]

    ids = re.findall(r'"@id": "([^"]+)",\n *"name"', (packed / "croissant.json").read_text())
    assert len(ids) == len({*ids}) > 20


def test_the_manifest_is_the_published_one(packed: Path) -> None:
    manifest = croissant(packed)["distribution"][0]
    data = (packed / manifest["contentUrl"]).read_bytes()
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest()
    assert manifest["contentSize"] == f"{len(data)} B"


def test_every_sample_is_as_it_says(packed: Path) -> None:
    """What the reader of MLCommons does not do yet: to open tars that are many."""
    tree = croissant(packed)
    sets = {each["@id"]: each for each in tree["distribution"]}
    records = {each["@id"]: each for each in tree["recordSet"]}
    names = [str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file()]

    seen = set()
    for file_set in (sets["shards-eyes"], sets["shards-knees"]):
        shards = fnmatch.filter(names, file_set["includes"])
        assert shards
        for shard in shards:
            seen.add(shard)
            with tarfile.open(packed / shard) as tar:
                members = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
            check_members(members, sets, records)
    assert seen == {shard.name for shard in load(packed).shards}


def check_members(members: dict[str, bytes], sets: Any, records: Any) -> None:
    key_of = {
        field["@id"]: field for name in ("segments", "frames") for field in records[name]["field"]
    }
    key = re.compile(key_of["segments/key"]["source"]["transform"]["regex"])
    segment = re.compile(key_of["frames/segment"]["source"]["transform"]["regex"])
    described = {
        key.fullmatch(name)[1]: json.loads(members[name])  # type: ignore[index]
        for name in fnmatch.filter(members, sets["segment-files"]["includes"])
    }
    frames = fnmatch.filter(members, sets["frame-files"]["includes"])
    assert len(described) + len(frames) == len(members)
    assert {segment.fullmatch(name)[1] for name in frames} == {*described}  # type: ignore[index]

    kinds = {"sc:Text": (str, type(None)), "sc:Integer": int, "sc:Float": float}
    for tree in described.values():
        for field in records["segments"]["field"][1:]:
            path = field["source"]["extract"]["jsonPath"].removeprefix("$.")
            assert isinstance(tree[path], kinds[field["dataType"]]), path


def test_it_names_no_video_no_file_and_no_place(packed: Path, videos: Path) -> None:
    text = (packed / "croissant.json").read_text()
    for video in (video for shard in load(packed).shards for video in shard.videos):
        assert video.id not in text and video.source not in text
    for word in ("Miller", "secondknee", "someeye", str(videos), str(packed)):
        assert word not in text


def test_packed_again_it_is_the_same_and_without_it_a_corpus_is_whole(
    bare: Path, videos: Path
) -> None:
    before = contents(bare)
    corpus = describe(videos)
    (bare / "croissant.json").unlink()
    assert pack([corpus, str(bare), *OPTIONS]) == 0
    assert contents(bare) == before


def test_it_goes_with_its_manifest(videos: Path, tmp_path: Path) -> None:
    corpus = describe(videos)
    assert pack([corpus, str(tmp_path), *OPTIONS]) == 0
    assert pack([corpus, str(tmp_path), *OPTIONS, "jpeg_quality=50", "--plan-only"]) == 0
    assert not (tmp_path / "manifest.json").exists()
    assert not (tmp_path / "croissant.json").exists()


def test_it_tells_of_pseudonyms_and_of_what_was_left_out(videos: Path, tmp_path: Path) -> None:
    corpus = describe(videos, pseudonyms=str(tmp_path / "names.jsonl"))
    out = tmp_path / "out"
    assert pack([corpus, str(out), *OPTIONS, "drop=[black]", "crop_borders=true"]) == 0
    tree = croissant(out)
    assert "Names of files are replaced by pseudonyms." in tree["rai:personalSensitiveInformation"]
    assert any("cut off" in each for each in tree["rai:dataPreprocessingProtocol"])
    assert any("black" in each for each in tree["rai:dataPreprocessingProtocol"])
    assert "Miller" not in json.dumps(tree)


@pytest.mark.parametrize(
    ("key", "value"),
    [("url", "ftp://x"), ("version", "one"), ("published", "in May"), ("published", "2026-13-01")],
)
def test_what_is_told_has_a_form(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        build(AboutConfig, {key: value}, where="here")
