"""What is made of a video: its pictures, their times, and what of it is lost."""

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from surgstream.shards.errors import VideoError
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video import decode
from surgstream.shards.video.container.files import open_video
from surgstream.shards.video.decode import Pictures
from surgstream.shards.video.skipping import LOOK_AHEAD_PACKETS
from tests.helpers.frames import frames_of, lost_of, numbers_of
from tests.helpers.videos import cut, make_video


def test_damage_ends_a_run_until_the_next_key_frame(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 250, gop=25)
    damage(path, packet=90)
    picked = numbers_of(path, Fraction(5))
    assert set(picked) == set(range(50)) - {18, 19}, "damage from frame 90 to the key frame at 100"
    assert all(number == 5 * k for k, number in picked.items()), (
        "no picture built upon a broken one"
    )
    assert lost_of(path) == [(3.44, 4.0)], "with the pictures before that need it"


def test_damage_that_ffmpeg_would_paint_over_is_noticed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.avi", 50, size=(320, 240), grain=30, codec="mjpeg")
    damage(path, packet=40, keep=2000)
    assert set(numbers_of(path, Fraction(5))) == set(range(10)) - {8}
    assert lost_of(path, Fraction(25)) == [(1.6, 1.64)]


@pytest.mark.parametrize("packet", range(51, 56))
def test_a_key_frame_that_comes_out_after_later_damage_is_no_recovery(
    tmp_path: Path, packet: int
) -> None:
    path = make_video(tmp_path / "v.mp4", 100, gop=25)
    damage(path, packet)
    picked = numbers_of(path, Fraction(25))
    assert not set(picked) & set(range(packet, 75)) and set(range(75, 100)) <= set(picked)


def test_a_damaged_first_key_frame_moves_the_start(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 100, gop=25)
    damage(path, packet=0)
    assert list(numbers_of(path, Fraction(5)).values()) == list(range(25, 100, 5))
    assert lost_of(path) == [(-1.0, 0.0)]


def test_a_video_damaged_up_to_its_end_is_kept_up_to_there(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 100, gop=100)
    damage(path, packet=30)
    last = max(numbers_of(path, Fraction(25)))
    assert 20 < last < 30
    assert lost_of(path) == [((last + 1) / 25, 4.0)]


FASTSTART = {"movflags": "faststart"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.7, 0.97])
@pytest.mark.parametrize(
    ("container", "options"), [("mp4", FASTSTART), ("mkv", {}), ("avi", {}), ("flv", {})]
)
def test_of_a_video_cut_between_two_pictures_all_before_is_kept(
    tmp_path: Path, container: str, options: dict[str, str], share: float
) -> None:
    path = make_video(
        tmp_path / f"v.{container}", 200, time_base=Fraction(1, 5), movie_options=options
    )
    picked = numbers_of(cut(path, share), Fraction(5))
    assert all(number == k for k, number in picked.items()) and len(picked) >= 200 * share - 3
    ((start, stop),) = lost_of(path)
    assert stop == pytest.approx(40, abs=0.5) and start == (max(picked) + 1) / 5


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.97, 1])
@pytest.mark.parametrize(
    ("container", "options"), [("mp4", FASTSTART), ("mp4", FRAGMENTED), ("avi", {}), ("h264", {})]
)
def test_a_video_cut_in_a_picture_has_lost_something_however_little_is_missing(
    tmp_path: Path, container: str, options: dict[str, str], share: float
) -> None:
    path = make_video(tmp_path / f"v.{container}", 100, grain=9, movie_options=options)
    picked = numbers_of(cut(path, share, inside=True), Fraction(25))
    assert all(number == k for k, number in picked.items()) and len(picked) >= 100 * share - 3
    (*_, (start, stop)) = lost_of(path)
    assert start == (max(picked) + 1) / 25 and (stop is None or start < stop <= 4)


def test_of_a_file_that_cannot_be_read_on_all_before_is_kept(tmp_path: Path) -> None:
    class Container:
        def demux(self, stream: object) -> Iterator[object]:
            yield from itertools.islice(video.container.demux(stream), 49)
            raise av.InvalidDataError(1, "Invalid data")

    with open_video(str(make_video(tmp_path / "v.mp4", 50)), Stores()) as video:
        pictures = Pictures(dataclasses.replace(video, container=Container()))
        assert len(list(pictures)) >= 45
        assert [span.stop for span in pictures.lost] == [2.0]


def test_sound_may_outlast_the_pictures_a_little(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "v.flv", 100, time_base=Fraction(1), codec="flv", sound_seconds=101
    )
    with open_video(str(path), Stores()) as video:
        assert video.header.seconds is not None and video.header.seconds > 100.5
    assert len(frames_of(path)) == 100


def test_a_video_of_which_nothing_decodes_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 20, gop=20)
    for packet in range(20):
        damage(path, packet=packet)
    with pytest.raises(VideoError, match="not one frame"):
        frames_of(path)


def test_a_clock_that_is_set_back_goes_on_where_it_was(tmp_path: Path) -> None:
    parts = [make_video(tmp_path / f"{name}.ts", 50) for name in "ab"]
    path = tmp_path / "v.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    picked = list(numbers_of(path, Fraction(25)).values())
    assert picked[-50:] == list(range(50))
    assert picked[:-50] == list(range(47)), "FFmpeg finds the last pictures before the seam damaged"


def test_a_broadcasts_clock_may_jump(tmp_path: Path) -> None:
    pts = [n + 25 * 3600 * (n >= 50) for n in range(100)]
    assert list(numbers_of(make_video(tmp_path / "v.ts", pts), Fraction(5)).values()) == list(
        range(0, 100, 5)
    )


def test_a_still_is_repeated_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "v.mkv", [0, 1, 2, 60, 61, 62], time_base=Fraction(1))
    assert numbers_of(path)[59] == 2
    monkeypatch.setattr(decode, "MAX_STILL_SECONDS", 57)
    assert list(numbers_of(path)) == [0, 1, 2, 60, 61, 62]
    assert lost_of(path) == [(3.0, 60.0)]


@pytest.mark.parametrize(
    ("codec", "gop", "most"),
    [("libx264", 250, 180), ("libx264", 5, 50), ("mjpeg", 1, 10)],
    ids=["without those that no other needs", "one group in five", "one picture in twenty-five"],
)
def test_what_no_frame_needs_is_not_decoded(
    tmp_path: Path, codec: str, gop: int, most: int
) -> None:
    path = make_video(tmp_path / "v.mkv", 350, codec=codec, gop=gop)

    def decoded(at: Fraction | None) -> int:
        with open_video(str(path), Stores()) as video:
            return sum(1 for _ in Pictures(video, at=at))

    assert decoded(None) == 350
    assert decoded(Fraction(1)) - 2 * LOOK_AHEAD_PACKETS < most, (
        "the first and the last ones are decoded anyway"
    )


def damage(path: Path, packet: int, keep: int = 0) -> None:
    """Overwrite a packet (counted in the order of presentation) from its byte `keep` on."""
    with av.open(str(path)) as container:
        packets = [(p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size]
    _, position, size = sorted(packets)[packet]
    data = bytearray(path.read_bytes())
    data[position + keep : position + size] = b"\xff" * (size - keep)
    path.write_bytes(data)
