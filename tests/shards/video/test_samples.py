"""Pictures from all over a video, for what is decided before it is decoded."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.files import open_video
from surgstream.shards.video.samples import key_frames
from tests.helpers.videos import make_video

NUM_FRAMES, GROUP, COUNT = 100, 50, 48


def test_each_key_frame_of_a_short_clip_is_decoded_once(tmp_path: Path) -> None:
    class Container:
        num_packets = 0

        def seek(self, *where: Any, **stream: Any) -> None:
            video.container.seek(*where, **stream)

        def demux(self, stream: object) -> Iterator[Any]:
            for packet in video.container.demux(stream):
                self.num_packets += 1
                yield packet

    container = Container()
    with open_video(str(make_video(tmp_path / "v.mp4", NUM_FRAMES, gop=GROUP)), Stores()) as video:
        pictures = list(key_frames(dataclasses.replace(video, container=container), COUNT))
        assert [round(25 * picture.time) for picture in pictures] == [0, GROUP]
    assert container.num_packets <= COUNT + 2 * (NUM_FRAMES + 1), (
        "a packet for each time, and the rest for each picture"
    )
