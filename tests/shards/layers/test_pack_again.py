"""Layers that are packed again: what has changed or was lost, and nothing else."""

import fnmatch
import hashlib
import json
from pathlib import Path

import pytest

from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack as main
from tests.helpers.layers import (
    distances,
    layers_of,
    pictures_in,
    write_images,
    write_sources,
)
from tests.helpers.packing import contents, write_corpus
from tests.shards.layers.packed import check_numbers

pytestmark = pytest.mark.usefixtures("here")


def test_a_corpus_without_layers_is_packed_as_before(tmp_path: Path) -> None:
    """Every file is the same, but for those of layers and what names them; adding them packs no frame again."""
    write_sources(tmp_path, "a", "b")
    plain = write_corpus(tmp_path, {"name": "d", "videos": "videos/*.mp4"}, fps=5)
    out = tmp_path / "out"
    assert main([plain, str(out)]) == 0
    before = contents(out)
    # What describes the whole corpus has another test.
    del before["croissant.json"]
    times = {name: (out / name).stat().st_mtime_ns for name in before}
    assert not any("layer" in name or ".mask" in name for name in before)

    assert main([write_corpus(tmp_path, layers_of(), fps=5), str(out)]) == 0
    after = contents(out)
    assert {name: after[name] for name in before if ".owner" not in name} == {
        name: data for name, data in before.items() if ".owner" not in name
    }
    assert all(
        (out / name).stat().st_mtime_ns == times[name] for name in before if ".owner" not in name
    )
    assert check_numbers(out, "mask") == 20
    after.pop("croissant.json")
    layers = {
        name: data for name, data in after.items() if name not in before and ".owner" not in name
    }
    assert sorted(layers) == [
        *(
            f"d/d-000000.{layer}.{kind}"
            for layer in ("depth", "mask")
            for kind in ("idx", "json", "tar")
        ),
        "layer.depth.json",
        "layer.mask.json",
    ]

    # Without them in the corpus file they go, and frames stay.
    assert (
        main([write_corpus(tmp_path, {"name": "d", "videos": "videos/*.mp4"}, fps=5), str(out)])
        == 0
    )
    assert {name for name in contents(out) if ".owner" not in name} == {
        "croissant.json",
        *(name for name in before if ".owner" not in name),
    }


def test_only_what_has_changed_is_packed_again(tmp_path: Path) -> None:
    write_sources(tmp_path, "a", "b")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5, shard_bytes=1), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    inodes = {path: path.stat().st_ino for path in out.rglob("*-0*")}
    assert main([corpus, str(out)]) == 0
    assert {path: path.stat().st_ino for path in out.rglob("*-0*")} == inodes

    write_images(tmp_path / "depth" / "b", [5], distances)
    (out / "d" / "d-000000.mask.idx").unlink()
    assert main([corpus, str(out)]) == 0
    again = {path.name for path in inodes if path.stat().st_ino != inodes[path]}
    assert again == {
        *(f"d-000000.mask.{kind}" for kind in ("tar", "idx", "json")),
        *(f"d-000001.depth.{kind}" for kind in ("tar", "idx", "json")),
    }
    assert pictures_in(out, "depth")["d", "b", 1] is not None


@pytest.mark.parametrize("lost", ["d-000000.mask.*", "d-000000.*", "../layer.mask.json"])
def test_what_was_lost_is_packed_again(tmp_path: Path, lost: str) -> None:
    """Whatever files somebody has deleted, frames among them."""
    write_sources(tmp_path, "a", "b")
    corpus, out = (
        write_corpus(tmp_path, layers_of(), fps=5, shard_bytes=1),
        tmp_path / "out",
    )
    assert main([corpus, str(out)]) == 0
    before = {name: data for name, data in contents(out).items() if ".owner" not in name}
    for path in list((out / "d").glob(lost)):
        path.unlink()
    assert main([corpus, str(out)]) == 0
    assert {n: d for n, d in contents(out).items() if ".owner" not in n} == before


def test_a_damaged_manifest_of_a_layer_is_written_again(tmp_path: Path) -> None:
    write_sources(tmp_path, "a")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    whole = (out / "layer.mask.json").read_bytes()
    (out / "layer.mask.json").write_bytes(whole[:-9])
    assert main([corpus, str(out)]) == 0
    assert (out / "layer.mask.json").read_bytes() == whole


def test_a_video_that_is_removed_leaves_no_picture(tmp_path: Path) -> None:
    write_sources(tmp_path, "a", "b", "c")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5, shard_bytes=1), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    assert (
        main(
            [write_corpus(tmp_path, layers_of({"hold_out": ["a"]}), fps=5, shard_bytes=1), str(out)]
        )
        == 0
    )
    assert not list(out.rglob("d-000000.*"))
    assert {key[1] for key in pictures_in(out, "mask")} == {"b", "c"}
    assert [shard.shard for shard in LayerManifest.load(open_storage(str(out)), "mask").shards] == [
        "d/d-000001.tar",
        "d/d-000002.tar",
    ]


def test_layers_go_before_the_frames_of_a_removed_video_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails later must not leave them behind."""
    write_sources(tmp_path, "a", "b")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5), tmp_path / "out"
    assert main([corpus, str(out)]) == 0

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the machine is gone")

    monkeypatch.setattr("surgstream.shards.packing.pipeline.run_all", fail)
    with pytest.raises(RuntimeError, match="the machine is gone"):
        main([write_corpus(tmp_path, layers_of({"hold_out": ["a"]}), fps=5), str(out)])
    assert not [
        name for name in contents(out) if ".mask" in name or "depth" in name or "layer" in name
    ]


def test_croissant_names_the_layers_that_a_corpus_has(tmp_path: Path) -> None:
    write_sources(tmp_path, "a", "b")
    out = tmp_path / "out"
    assert main([write_corpus(tmp_path, layers_of(), fps=5), str(out)]) == 0
    files = {
        each["@id"]: each
        for each in json.loads((out / "croissant.json").read_text())["distribution"]
    }

    manifest = (out / "layer.mask.json").read_bytes()
    assert files["layer.mask.json"]["sha256"] == hashlib.sha256(manifest).hexdigest()
    there = {str(path.relative_to(out)) for path in out.rglob("*.tar")}
    assert fnmatch.filter(there, files["layer-mask"]["includes"]) == ["d/d-000000.mask.tar"]
    assert fnmatch.filter(there, files["shards-d"]["includes"]) == ["d/d-000000.tar"]
