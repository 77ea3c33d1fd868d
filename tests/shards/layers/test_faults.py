"""Layers of damaged videos, of stores that fail, and of owners that lose their store."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from surgstream.shards.errors import OwnedError, StorageError
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.layers import work
from surgstream.shards.storage.owner import OWNERS
from surgstream.shards.storage.owner_record import this_process
from surgstream.shards.storage.stores import LocalStorage, open_storage
from tests.helpers.commands import pack as main
from tests.helpers.layers import layers_of, numbered, pictures_in, write_gray_video, write_sources
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.videos import make_video, picture_of
from tests.shards.layers.test_pack_layers import MASKS, check_numbers

pytestmark = pytest.mark.usefixtures("here")


def spoil_packets(path: Path, first: int, last: int) -> None:
    """Overwrite some packets, in the order of the file."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in packets[first:last]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)


def test_after_damage_pictures_still_belong_together(tmp_path: Path) -> None:
    path = make_video(tmp_path / "videos" / "a.mp4", 100)
    write_gray_video(tmp_path / "masks" / "a.mkv", 100)
    spoil_packets(path, 33, 36)
    assert main([write_corpus(tmp_path, MASKS, fps=25), str(tmp_path / "out")]) == 0
    (video,) = load(tmp_path / "out").shards[0].videos
    assert len(video.parts) == 2 and 50 < video.num_frames < 100
    assert check_numbers(tmp_path / "out", "mask") == video.num_frames


def test_without_its_first_pictures_a_video_has_no_layer(tmp_path: Path) -> None:
    """Nobody knows where its layer begins: times are those after the first picture that could be decoded."""
    path = make_video(tmp_path / "videos" / "a.mp4", 100)
    write_gray_video(tmp_path / "masks" / "a.mkv", 100)
    spoil_packets(path, 0, 12)
    assert main([write_corpus(tmp_path, MASKS, fps=25), str(tmp_path / "out")]) == 0
    assert load(tmp_path / "out").shards[0].num_frames > 50
    pictures = pictures_in(tmp_path / "out", "mask")
    assert set(map(type, pictures.values())) == {type(None)}
    (spoiled,) = LayerManifest.load(open_storage(str(tmp_path / "out")), "mask").quarantine
    assert spoiled.reason.startswith("its first pictures are lost")


def test_pictures_of_several_sizes_are_fitted_as_their_frames_are(tmp_path: Path) -> None:
    """The first image decides the size of all frames, and others are fitted into it, on black."""
    sizes = [(64, 48), (64, 48), (48, 64), (32, 24)]
    for number, size in enumerate(sizes):
        for kind in ("frames", "masks"):
            (tmp_path / kind / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture_of(255, *size)).save(tmp_path / "frames" / "a" / f"{number}.png")
        Image.fromarray(numbered(number, size)).save(tmp_path / "masks" / "a" / f"{number}.png")
    dataset = {
        "name": "d",
        "videos": "frames/*",
        "image_fps": 1,
        "layers": {"mask": "masks/{video}"},
    }
    assert main([write_corpus(tmp_path, dataset, short_side=24), str(tmp_path / "out")]) == 0
    pictures = [
        picture for picture in pictures_in(tmp_path / "out", "mask").values() if picture is not None
    ]
    assert [picture.shape for picture in pictures] == [(24, 32)] * 4
    assert [np.unique(picture).tolist() for picture in pictures] == [[1], [2], [0, 3], [4]]
    # Upright in the middle: 18 of 32 columns.
    assert (pictures[2] == 3).any(axis=0).nonzero()[0].tolist() == list(range(7, 25))


@pytest.mark.parametrize("place", ["masks", "depth"])
def test_a_store_that_fails_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    write_sources(tmp_path, "a", "b")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5), tmp_path / "out"
    assert main([corpus, str(tmp_path / "whole")]) == 0

    def failing(method: str) -> Any:
        sound = getattr(LocalStorage, method)

        def fail(self: LocalStorage, name: str, *rest: Any) -> Any:
            if f"/{place}" in f"{self.uri}/{name}" and "b" in Path(name).parts[0]:
                raise StorageError(f"reading {name}: Stale file handle")
            return sound(self, name, *rest)

        return fail

    with monkeypatch.context() as patch:
        for method in ("read", "read_into"):
            patch.setattr(LocalStorage, method, failing(method))
        with pytest.raises(StorageError, match="Stale file handle"):
            main([corpus, str(out)])
    # Frames are there, and nothing that is half done.
    assert (out / "manifest.json").exists()
    assert not list(out.glob("layer.*")) and not list(out.rglob("*.partial"))

    assert main([corpus, str(out)]) == 0
    assert same(out, tmp_path / "whole")


def test_a_disk_that_is_full_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sources(tmp_path, "a")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5), tmp_path / "out"
    assert main([corpus, str(tmp_path / "whole")]) == 0
    sound = LocalStorage.write

    def full(self: LocalStorage, name: str, data: bytes) -> None:
        if name.endswith(".mask.idx"):
            raise StorageError(f"{name}: No space left on device") from OSError(
                errno.ENOSPC, "full"
            )
        sound(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            main([corpus, str(out)])
    assert not list(out.glob("layer.*")) and not list(out.glob("d/*.mask.json"))
    assert main([corpus, str(out)]) == 0
    assert same(out, tmp_path / "whole")


def test_a_packing_that_was_taken_over_publishes_no_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sources(tmp_path, "a")
    out = open_storage(str(tmp_path / "out"))
    run_all = work.run_all

    def taken_over(*arguments: Any, **settings: Any) -> Any:
        later = replace(this_process("packing"), host="node17")
        out.write(f"{OWNERS}/00000009", later.to_bytes())
        return run_all(*arguments, **settings)

    monkeypatch.setattr(work, "run_all", taken_over)
    with pytest.raises(OwnedError, match="got packing on node17"):
        main([write_corpus(tmp_path, layers_of(), fps=5), out.uri])
    assert not [name for name in out.sizes() if name.startswith("layer.")]


def same(one: Path, other: Path) -> bool:
    """Whether two corpora have the same files."""
    ours, theirs = (
        {name: data for name, data in contents(folder).items() if ".owner" not in name}
        for folder in (one, other)
    )
    return ours == theirs
