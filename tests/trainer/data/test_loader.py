"""The loader with a stream and a decoder that do as they are told."""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from surgstream.shards.errors import CorruptSampleError, StorageError
from surgstream.shards.reading.activity import Activities
from surgstream.shards.reading.clips import ClipBytes
from surgstream.trainer.batch import ClipName
from surgstream.trainer.data.augment import ClipTransform, draw_transform
from surgstream.trainer.data.augmentation.config import CropConfig
from surgstream.trainer.data.config import AugmentConfig, View
from surgstream.trainer.data.loader import ClipLoader
from surgstream.trainer.errors import DamagedFramesError, DecodingDeviceError
from tests.helpers.ranks import wait_for

FATAL, BROKEN = 254, 255


def clip(g: int) -> ClipBytes:
    """A clip of two frames, each one byte long: its draw."""
    frames = (np.array([g], np.uint8),) * 2
    planned = ("b", 7) if g == 3 else None
    return ClipBytes(
        g, "knee", 10 + g, "a", 10 + g, width=100, height=60, planned=planned, frames=frames
    )


class Stream:
    """Yields pairs of clips, or those that are named, until its script says to wait or to fail."""

    def __init__(self, *script: Any, substitutes: Sequence[ClipBytes] = ()) -> None:
        self.activities = Activities()
        self.script = script
        self.substitutes = list(substitutes)
        self.replaced: list[tuple[int, int, str]] = []
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[list[ClipBytes]]:
        for item in self.script:
            if isinstance(item, Exception):
                raise item
            if item == "wait":
                with self.activities.doing("reads knee-000000.tar"):
                    self.closed.wait()
                raise CancelledError
            yield item if isinstance(item, list) else [clip(item), clip(item + 1)]

    def substitute(self, clip: ClipBytes, position: int, reason: str) -> ClipBytes:
        self.replaced.append((clip.draw, position, reason))
        if not self.substitutes:
            raise CorruptSampleError("16 clips are damaged as well")
        return replace(self.substitutes.pop(0), draw=clip.draw)

    def close(self) -> None:
        self.closed.set()


class Decoder:
    """Makes a pixel of each byte, and remembers the transforms."""

    def __init__(self) -> None:
        self.transforms: list[ClipTransform] = []

    def decode(
        self, frames: list[np.ndarray], transform: ClipTransform, stills: np.ndarray
    ) -> torch.Tensor:
        self.transforms.append(transform)
        broken = {i: "it is broken" for i, frame in enumerate(frames) if frame[0] == BROKEN}
        if broken:
            raise DamagedFramesError(broken)
        if any(frame[0] == FATAL for frame in frames):
            raise DecodingDeviceError("the GPU is lost")
        given = iter(frames)
        clips = [[next(given)] * 2 if still else [next(given), next(given)] for still in stills]
        return torch.tensor(np.array(clips)).view(2, 1, 2, 1, 1).float()


def load(
    *script: Any,
    decoder: Decoder | None = None,
    substitutes: Sequence[ClipBytes] = (),
    **options: Any,
) -> ClipLoader:
    settings: dict[str, Any] = {"augment": "centre", "seed": 5, "device": torch.device("cpu")}
    return ClipLoader(
        Stream(*script, substitutes=substitutes), decoder or Decoder(), **(settings | options)
    )  # type: ignore[arg-type]


def test_batches_come_in_order_and_end_for_good() -> None:
    with load(0, 2, 4, 6) as loader:
        batches = list(loader)
        assert list(loader) == []
    assert [batch.draws.tolist() for batch in batches] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [batch.clips.flatten().tolist() for batch in batches][1] == [2, 2, 3, 3]
    assert batches[1].names == (
        ClipName("knee", "a", 12),
        ClipName("knee", "a", 13, planned=("b", 7)),
    )
    assert len(loader.waits) >= 4 and loader.decode_seconds > 0


def test_an_error_comes_where_its_batch_was_due_and_again() -> None:
    with load(0, 2, StorageError("the store is gone")) as loader:
        assert [next(loader).draws[0] for _ in range(2)] == [0, 2]
        for _ in range(2):
            with pytest.raises(StorageError, match="the store is gone"):
                next(loader)


def test_a_clip_that_cannot_be_decoded_is_replaced_until_one_can() -> None:
    half_broken = replace(clip(8), frames=(*clip(8).frames[:1], *clip(BROKEN).frames[:1]))
    with load([clip(4), half_broken], substitutes=[clip(BROKEN), clip(7)]) as loader:
        (batch,) = loader
    stream: Any = loader.stream
    assert stream.replaced == [(8, 1, "it is broken"), (8, 0, "it is broken")]
    assert batch.draws.tolist() == [4, 8], "a batch never shrinks"
    assert batch.clips.flatten().tolist() == [4, 4, 7, 7]
    assert batch.names[1] == ClipName("knee", "a", 17)


def still(g: int) -> ClipBytes:
    """A still, of one frame of one byte: its draw."""
    return replace(clip(g), frames=clip(g).frames[:1], is_still=True)


def test_a_batch_says_which_of_its_clips_are_stills() -> None:
    with load([still(4), clip(5)], [clip(6), clip(7)]) as loader:
        mixed, videos = loader
    assert mixed.stills.tolist() == [True, False]
    assert mixed.clips.flatten().tolist() == [4, 4, 5, 5]
    assert videos.stills.tolist() == [False, False]


def test_damage_behind_a_still_is_that_of_its_own_clip() -> None:
    """A still has one frame, so the clips behind it begin earlier than clips of videos would let them."""
    half_broken = replace(clip(8), frames=(*clip(8).frames[:1], *clip(BROKEN).frames[:1]))
    with load([still(4), half_broken], substitutes=[clip(7)]) as loader:
        (batch,) = loader
    stream: Any = loader.stream
    assert stream.replaced == [(8, 1, "it is broken")]
    assert batch.clips.flatten().tolist() == [4, 4, 7, 7]

    broken_still = replace(still(BROKEN), draw=9)
    with load([broken_still, clip(5)], substitutes=[still(7)]) as loader:
        (batch,) = loader
    stream = loader.stream
    assert stream.replaced == [(9, 0, "it is broken")]
    assert batch.clips.flatten().tolist() == [7, 7, 5, 5] and batch.stills.tolist() == [True, False]


def test_the_window_is_that_of_the_substitute() -> None:
    decoder = Decoder()
    larger = replace(clip(7), width=300, height=200)
    with load([clip(4), clip(BROKEN)], decoder=decoder, substitutes=[larger]) as loader:
        list(loader)
    assert decoder.transforms[-1].windows.tolist() == [[20, 0, 80, 60], [50, 0, 250, 200]]


def test_copies_that_fill_up_a_pass_have_the_substitute_of_their_clip() -> None:
    padding = replace(clip(BROKEN), valid=False)
    substitute = replace(clip(7), valid=False)
    with load([clip(BROKEN), padding], substitutes=[substitute]) as loader:
        (batch,) = loader
    assert batch.clips.flatten().tolist() == [7] * 4 and batch.valid.tolist() == [False, False]


@pytest.mark.parametrize(
    ("g", "error"), [(BROKEN, CorruptSampleError), (FATAL, DecodingDeviceError)]
)
def test_what_cannot_be_helped_ends_the_run(g: int, error: type[Exception]) -> None:
    with load(0, [clip(1), clip(g)]) as loader:
        next(loader)
        with pytest.raises(error):
            next(loader)


@pytest.mark.parametrize("augment", ["centre", AugmentConfig(crop=CropConfig(scales=(0.5, 0.25)))])
def test_transforms_are_those_of_seed_and_draw_or_the_centre(augment: AugmentConfig | View) -> None:
    decoder = Decoder()
    with load(0, 2, decoder=decoder, augment=augment) as loader:
        list(loader)
    expected = draw_transform(augment, 5, np.arange(4), np.tile([[100, 60]], (4, 1)))
    windows = np.concatenate([transform.windows for transform in decoder.transforms])
    np.testing.assert_array_equal(windows, expected.windows)


def test_decoding_stays_a_few_batches_ahead_and_closing_ends_it() -> None:
    decoder = Decoder()
    loader = load(*range(0, 100, 2), decoder=decoder, prefetch_batches=3)
    wait_for(lambda: loader.num_ready == 3 and len(decoder.transforms) == 4)
    loader.close()
    loader.close()
    assert not loader._thread.is_alive() and loader.stream.closed.is_set()  # type: ignore[attr-defined]
    assert len(decoder.transforms) == 4


def test_closing_ends_a_thread_that_waits_for_the_stream() -> None:
    with load(0, "wait") as loader:
        next(loader)
    assert not loader._thread.is_alive()


def test_a_trainer_that_waits_long_is_told_what_for(caplog: pytest.LogCaptureFixture) -> None:
    def close_when_said_twice() -> None:
        wait_for(lambda: len(caplog.messages) >= 2)
        loader.stream.close()

    with load("wait", stall_warning_seconds=0.4) as loader, caplog.at_level(logging.WARNING):
        threading.Thread(target=close_when_said_twice).start()
        with pytest.raises(CancelledError):
            next(loader)
    assert caplog.messages[0].startswith("no batch for 0 s; ")
    assert re.match(
        r"no batch for 1 s; decode: reads knee-000000\.tar for \d+\.\d s", caplog.messages[1]
    )
    assert loader.waits[0] >= 0.8
