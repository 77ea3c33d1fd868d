"""After damage, pictures count again where the stream says that they are whole; and what is no damage."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.packet import Packet

from surgstream.shards.storage.stores import Stores
from surgstream.shards.video import decode, recovery
from surgstream.shards.video.container.files import open_video
from surgstream.shards.video.decode import Damaged, Pictures
from surgstream.shards.video.sources import VideoFile
from tests.helpers.frames import lost_of
from tests.helpers.zoo import ffmpeg, shown_by_ffmpeg

SIZE = (320, 240)
MOVING = f"-f lavfi -i testsrc2=s={SIZE[0]}x{SIZE[1]}:r=25:d=20"
REFRESH = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -x264-params intra-refresh=1:keyint=25"

Pictures_ = dict[int, npt.NDArray[np.uint8]]


def spoil(path: Path, packet: int) -> Path:
    """Overwrite a packet, counted in the order of the file, but nothing that the container says of it."""
    with av.open(str(path)) as container:
        packets = [bytes(each) for each in container.demux(video=0)]
    data = path.read_bytes()
    assert data.count(packets[packet]) == 1
    path.write_bytes(data.replace(packets[packet], b"\xff" * len(packets[packet])))
    return path


def decoded(path: Path, form: str = "gray") -> tuple[Pictures_, list[tuple[float, float | None]]]:
    """Pictures by their number, 25 a second, and what is lost."""
    film = VideoFile(str(path), Stores(), threads=3)
    pictures = {
        number: picture.to_ndarray(format=form) for number, picture in film.picked(Fraction(25))
    }
    return pictures, [(span.start, span.stop) for span in film.lost]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "latest"),
    [("v.mp4", ":bframes=0", 4.5), ("v.mkv", ":bframes=0", 4.5), ("v.mp4", ":bframes=3", 5.5)],
)
def test_recovery_points_end_a_loss(tmp_path: Path, name: str, options: str, latest: float) -> None:
    path = tmp_path / name
    ffmpeg(*MOVING.split(), *f"{REFRESH}{options} -threads 1".split(), str(path))
    whole, _ = decoded(path)
    rest, lost = decoded(spoil(path, 60))
    ((start, stop),) = lost
    assert 2.2 < start <= 2.44 and stop is not None and 3.5 < stop < latest
    assert set(rest) == {number for number in whole if not start <= number / 25 < stop}
    assert all(np.array_equal(rest[number], whole[number]) for number in rest)


def with_recovery_points(source: Path, path: Path, every: int, count: int) -> Path:
    """HEVC in which each so many packets tell that pictures are whole `count` pictures later."""
    value = bin(2 * count)[2:]
    bits = ("0" * (len(value) - 1) + value + "01").ljust(24, "0")  # Exp-Golomb, exact, not broken
    message = int(bits, 2).to_bytes(len(bits) // 8)
    unit = b"\x4e\x01\x06" + bytes([len(message)]) + message + b"\x80"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for number, packet in enumerate(old.demux(video=0)):
            if packet.size:
                told = len(unit).to_bytes(4) + unit if number % every == 0 and number else b""
                fresh = Packet(told + bytes(packet))
                fresh.pts, fresh.dts, fresh.time_base = packet.pts, packet.dts, packet.time_base
                fresh.duration, fresh.is_keyframe, fresh.stream = (
                    packet.duration,
                    packet.is_keyframe,
                    stream,
                )
                new.mux(fresh)
    return path


@pytest.mark.slow
def test_recovery_points_of_hevc(tmp_path: Path) -> None:
    """Pictures in themselves every second, which are no key frames, and the ones after them need none before them."""
    scenes = "-vf negate=enable='lt(mod(t,2),1)',hue=h=90*floor(t)"
    options = "keyint=1000:min-keyint=1000:scenecut=60:ref=1:bframes=0:log-level=error"
    encoding = f"-c:v libx265 -preset veryfast -pix_fmt yuv420p -x265-params {options}"
    ffmpeg(*f"{MOVING} {scenes} {encoding} {tmp_path}/source.mkv".split())
    path = with_recovery_points(tmp_path / "source.mkv", tmp_path / "v.mkv", every=25, count=4)
    whole, nothing = decoded(path)
    rest, lost = decoded(spoil(path, 60))
    assert nothing == [] and lost == [(2.4, 3.16)]
    assert set(whole) - set(rest) == set(range(60, 79))
    assert all(np.array_equal(rest[number], whole[number]) for number in rest)


@pytest.mark.slow
@pytest.mark.parametrize(("wait", "expected"), [(5, 12), (100, 20)])
def test_without_any_sign_pictures_count_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: int, expected: float
) -> None:
    monkeypatch.setattr(recovery, "MAX_WAIT_SECONDS", wait)
    path = tmp_path / "v.mkv"
    ffmpeg(
        *f"{MOVING} -c:v libx264 -preset veryfast -pix_fmt yuv420p -g 1000 -sc_threshold 0 {path}".split()
    )
    ((start, stop),) = lost_of(spoil(path, 60), Fraction(25))
    assert 2.2 < start <= 2.44 and stop is not None
    assert 2.4 + min(wait, 17.6) <= stop <= expected


def emptied(source: Path, path: Path, keep: int) -> Path:
    """The same file, in which only one packet in so many, and key frames, are not empty."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for number, packet in enumerate(old.demux(video=0)):
            if packet.dts is None:
                continue
            fresh: Any = packet
            if number % keep and not packet.is_keyframe:
                fresh = Packet(b"")
                fresh.pts, fresh.dts, fresh.time_base = packet.pts, packet.dts, packet.time_base
                fresh.duration = packet.duration
            fresh.stream = stream
            new.mux(fresh)
    return path


def test_an_empty_packet_means_the_same_picture_again(tmp_path: Path) -> None:
    ffmpeg(*f"{MOVING.replace('d=20', 'd=4')} -c:v libtheora -q:v 5 {tmp_path}/source.ogv".split())
    path = emptied(tmp_path / "source.ogv", tmp_path / "v.ogv", keep=5)
    with av.open(str(path)) as container:
        assert sum(packet.size == 0 for packet in container.demux(video=0)) > 50
    pictures, lost = decoded(path, "rgb24")
    assert lost == [] and len(pictures) == 100, "the last ones as well"
    shown = shown_by_ffmpeg(path, Fraction(25), *SIZE)
    assert len(shown) > 90
    for number, expected in enumerate(shown):
        assert np.abs(pictures[number].astype(float) - expected).mean() < 5


@pytest.mark.parametrize(("longest", "last"), [(600, 99), (1, 50)])
def test_a_last_picture_is_repeated_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: int, last: int
) -> None:
    monkeypatch.setattr(decode, "MAX_STILL_SECONDS", longest)
    ffmpeg(
        *f"{MOVING.replace('d=20', 'd=4')} -c:v libtheora -q:v 5 -g 1000 {tmp_path}/source.ogv".split()
    )
    pictures, _ = decoded(emptied(tmp_path / "source.ogv", tmp_path / "v.ogv", keep=50))
    assert max(pictures) == last


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("v.avi", "-c:v libxvid -q:v 5"),
        ("v.avi", "-c:v libxvid -q:v 5 -bf 2"),
        ("v.avi", "-vf select='not(between(n,30,50))' -fps_mode passthrough -c:v mpeg4"),
        ("v.mkv", "-c:v libxvid -q:v 5"),
        ("v.mkv", "-c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -b:v 300k"),
        ("v.webm", "-c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -b:v 300k -cpu-used 8"),
        ("v.webm", "-c:v libvpx -drop-threshold 60 -b:v 20k"),
    ],
)
@pytest.mark.parametrize("picture", ["testsrc2=s=160x120", "color=red:s=160x120"])
def test_packets_without_a_picture_are_no_damage(
    tmp_path: Path, name: str, options: str, picture: str
) -> None:
    path = tmp_path / name
    ffmpeg(*f"-f lavfi -i {picture}:r=25:d=4 {options}".split(), str(path))
    for threads in (1, 3):
        with open_video(str(path), Stores(), threads) as video:
            pictures = Pictures(video, strict=True)
            try:
                shown = sum(1 for _ in pictures)
            except Damaged:
                pytest.fail("taken for damage, and so decoded twice")
        assert shown > 50 and pictures.lost == []
