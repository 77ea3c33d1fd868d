"""Files of every kind, made by FFmpeg's own program, and what that program shows of them."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from imageio_ffmpeg import get_ffmpeg_exe

from tests.helpers.videos import picture_of

WIDTH, HEIGHT, RATE, NUM_PICTURES = 192, 144, 25, 90

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Kind:
    """How to make a file.

    Attributes:
        name: Of the file; its suffix decides the container.
        options: What encodes it.
        of: Makes it from this other file instead of from pictures.
        before: Options that belong before the input.
        agrees: Whether FFmpeg's program finds the right pictures in it, all of them upright.
        numbered: Whether picture n can be read, and comes at n / RATE seconds, in the file as it was written.
    """

    name: str
    options: str
    of: str | None = None
    before: str = ""
    agrees: bool = True
    numbered: bool = True

    def __str__(self) -> str:
        return self.name


_X264 = "-c:v libx264 -preset veryfast -crf 14 -g 25 -pix_fmt yuv420p"
_X265 = "-c:v libx265 -preset veryfast -crf 14 -x265-params keyint=25:log-level=error"
_VP9 = "-c:v libvpx-vp9 -crf 12 -b:v 0 -cpu-used 8"
_MPEG2 = "-c:v mpeg2video -q:v 2 -g 12 -bf 2"
_FIELDS = "-vf tinterlace=mode=interleave_top -flags +ilme+ildct"
_UNEVEN = "-vf select='not(mod(n,3))+lt(mod(n,17),4)' -fps_mode vfr"

KINDS = (
    Kind("h264.mp4", _X264),
    Kind("h264.mkv", _X264),
    Kind("h264.ts", _X264),
    Kind("h264.mov", _X264),
    Kind("h264_fragments.mp4", f"{_X264} -movflags frag_keyframe+empty_moov"),
    Kind("h264_open_gop.mp4", f"{_X264} -x264-params open-gop=1:keyint=20"),
    Kind("h264_intra_refresh.mp4", f"{_X264} -x264-params intra-refresh=1:keyint=20"),
    Kind("h264_endless_gop.mp4", f"{_X264} -g 1000"),
    Kind("h264_short_gop.mp4", f"{_X264} -g 6"),
    Kind("h264_short_gop.ts", f"{_X264} -g 6"),
    Kind("h264_short_open_gop.mkv", f"{_X264} -x264-params open-gop=1:keyint=8"),
    Kind("h264_no_pts.avi", _X264),
    Kind("h264_no_timestamps.h264", _X264),
    Kind("h264_422.mp4", f"{_X264} -pix_fmt yuv422p"),
    Kind("h264_444.mp4", f"{_X264} -pix_fmt yuv444p"),
    Kind("h264_422_10bit.mov", f"{_X264} -pix_fmt yuv422p10le"),
    Kind("hevc.mp4", f"{_X265} -pix_fmt yuv420p"),
    Kind("hevc_10bit.mkv", f"{_X265} -pix_fmt yuv420p10le"),
    Kind("hevc_short_gop.mp4", f"{_X265}:keyint=6:open-gop=0 -pix_fmt yuv420p"),
    Kind("hevc_short_open_gop.mkv", f"{_X265}:keyint=8:open-gop=1 -pix_fmt yuv420p"),
    Kind("mpeg2_closed_gop.ts", f"{_MPEG2} -g 6 -flags +cgop -sc_threshold 1000000000"),
    Kind("vp9_short_gop.webm", f"{_VP9} -g 6"),
    Kind("mpeg2.mpg", _MPEG2, numbered=False),
    Kind("mpeg2.ts", _MPEG2),
    Kind("mpeg2.vob", f"{_MPEG2} -f vob", numbered=False),
    Kind("mpeg4.avi", "-c:v mpeg4 -q:v 2 -g 12"),
    Kind("mpeg4_b_frames.avi", "-c:v mpeg4 -q:v 2 -bf 2"),
    Kind("xvid.avi", "-c:v libxvid -q:v 2 -bf 2", numbered=False),
    Kind("msmpeg4.avi", "-c:v msmpeg4 -q:v 2"),
    Kind("wmv1.wmv", "-c:v wmv1 -q:v 2"),
    Kind("wmv2.wmv", "-c:v wmv2 -q:v 2"),
    Kind("vp9.webm", _VP9),
    Kind("vp9_hidden_frames.webm", f"{_VP9} -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 16"),
    Kind("av1.mp4", "-c:v libsvtav1 -preset 12 -crf 14 -pix_fmt yuv420p"),
    Kind("av1.mkv", "-c:v libaom-av1 -cpu-used 8 -crf 14 -pix_fmt yuv420p"),
    Kind("mjpeg.avi", "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p"),
    Kind("mjpeg.mov", "-c:v mjpeg -q:v 2 -pix_fmt yuvj422p"),
    Kind("prores.mov", "-c:v prores_ks -profile:v 2"),
    Kind("theora.ogv", "-c:v libtheora -q:v 9"),
    Kind("sorenson.flv", "-c:v flv -q:v 2"),
    Kind("rgb.mkv", "-c:v ffv1 -pix_fmt bgr0"),
    Kind("grey.mkv", "-c:v ffv1 -pix_fmt gray"),
    Kind("full_range.mp4", f"-vf scale=out_range=full {_X264} -color_range pc"),
    Kind(
        "bt709.mp4",
        f"-vf scale=out_color_matrix=bt709 {_X264} -colorspace bt709 -color_primaries bt709",
    ),
    Kind(
        "bt709_full_range.mkv",
        f"-vf scale=out_color_matrix=bt709:out_range=full {_X264} -colorspace bt709 -color_range pc",
    ),
    Kind(
        "bt2020_10bit.mp4",
        f"-vf scale=out_color_matrix=bt2020 {_X264} -pix_fmt yuv420p10le -colorspace bt2020nc",
    ),
    Kind("odd_size.mkv", "-vf crop=191:143 -c:v ffv1"),
    Kind("odd_size.webm", f"-vf crop=191:143 {_VP9} -pix_fmt yuv420p"),
    Kind("odd_size_444.mp4", f"-vf crop=191:143 {_X264} -pix_fmt yuv444p"),
    Kind("wide_pixels.mp4", f"-vf setsar=12/11 {_X264}"),
    Kind("wide_pixels.ts", f"-vf setsar=16/15 {_MPEG2}"),
    Kind("impossible_pixels.mkv", f"-vf setsar=90/1 {_X264}"),
    Kind("variable_rate.mp4", f"{_UNEVEN} {_X264}", numbered=False),
    Kind("variable_rate.mkv", f"{_UNEVEN} {_X264}", numbered=False),
    Kind(
        "ntsc_rate.mp4",
        f"-vf setpts=N*1001/30000/TB -fps_mode vfr -video_track_timescale 30000 {_X264}",
        numbered=False,
    ),
    Kind("late_start.ts", f"{_X264} -output_ts_offset 1000"),
    Kind("very_late_start.mkv", f"{_X264} -output_ts_offset 3600"),
    Kind("very_late_start.wmv", "-c:v wmv2 -q:v 2 -output_ts_offset 3600"),
    Kind("long_sound.flv", "-f lavfi -i sine=d=20 -c:v flv -q:v 2 -c:a mp3"),
    Kind("long_sound.mpg", f"-f lavfi -i sine=d=20 {_MPEG2} -c:a mp2", numbered=False),
    Kind(
        "negative_start.mkv",
        f"{_X264} -output_ts_offset -0.5 -avoid_negative_ts disabled",
        agrees=False,
    ),
    Kind("fields_top_first.mpg", f"{_FIELDS} -c:v mpeg2video -q:v 2", numbered=False),
    Kind("fields_top_first.mp4", f"{_FIELDS} {_X264} -x264-params tff=1", numbered=False),
    Kind(
        "fields_bottom_first.mp4",
        f"{_FIELDS.replace('top', 'bottom')} {_X264} -x264-params bff=1",
        numbered=False,
    ),
    Kind("fields_wide.mpg", f"-aspect 16:9 {_FIELDS} -c:v mpeg2video -q:v 2", numbered=False),
    Kind("dv.avi", "-vf scale=720:576,setsar=16/15 -pix_fmt yuv420p -c:v dvvideo -r 25"),
    Kind("edit_list.mp4", "-c copy", of="h264.mp4", before="-ss 0.9", numbered=False),
    Kind("turned_90.mp4", "-c copy", of="h264.mp4", before="-display_rotation 90", numbered=False),
    Kind(
        "turned_180.mp4", "-c copy", of="h264.mp4", before="-display_rotation 180", numbered=False
    ),
    Kind(
        "turned_270.mp4", "-c copy", of="h264.mp4", before="-display_rotation -90", numbered=False
    ),
    Kind("mirrored.mp4", "-c copy", of="h264.mp4", before="-display_hflip", numbered=False),
    Kind(
        "mirrored_turned.mp4",
        "-c copy",
        of="h264.mp4",
        before="-display_hflip -display_rotation 90",
        numbered=False,
    ),
    Kind(
        "turned_by_the_first.mp4",
        "-c copy -bsf:v h264_metadata=display_orientation=insert:rotate=90",
        of="h264.mp4",
        agrees=False,
        numbered=False,
    ),
    Kind(
        "cropped.mp4",
        "-c copy -bsf:v h264_metadata=crop_left=16:crop_right=10:crop_top=4:crop_bottom=6",
        of="h264.mp4",
        numbered=False,
    ),
    Kind(
        "missing_pictures.ts",
        r"-c copy -bsf:v noise=drop=eq(mod(n\,20)\,7)",
        of="h264.ts",
        numbered=False,
    ),
)


def picture(number: int) -> Pictures:
    """The number above, a field of all colours below; (HEIGHT, WIDTH, 3)."""
    y, x = np.mgrid[0 : HEIGHT // 2, 0:WIDTH]
    blue = np.full_like(x, number * 5 % 200 + 30)
    colours = np.stack([x * 220 // WIDTH + 20, y * 220 // (HEIGHT // 2) + 20, blue], -1)
    return np.concatenate([picture_of(number, WIDTH, HEIGHT // 2), colours]).astype(np.uint8)


def number_of(shown: Pictures) -> int:
    """The number in the upper half of an upright picture."""
    grey = shown[: shown.shape[0] // 2 - 8].mean((0, 2))
    bars = np.array_split(grey, 8)
    return sum(
        int(bar[len(bar) // 4 : -(len(bar) // 4)].mean() > 125) << bit
        for bit, bar in enumerate(bars)
    )


def make(kind: Kind, folder: Path, find: Callable[[str], Path]) -> Path:
    """Write a file.

    Args:
        kind: What to make.
        folder: Where.
        find: Gives the file of another kind.
    """
    path = folder / kind.name
    options = [*kind.options.split(), "-threads", "1", str(path)]
    if kind.of:
        ffmpeg(*kind.before.split(), "-i", str(find(kind.of)), *options)
        return path
    raw = f"-f rawvideo -pix_fmt rgb24 -s {WIDTH}x{HEIGHT} -r {RATE} -i -"
    ffmpeg(
        *raw.split(),
        *options,
        sent=b"".join(picture(number).tobytes() for number in range(NUM_PICTURES)),
    )
    return path


def shown_by_ffmpeg(path: Path, fps: Fraction, width: int, height: int) -> Pictures:
    """What the program shows at k / fps seconds after the first picture, scaled; (num, height, width, 3)."""
    filters = [
        "bwdif=mode=send_frame:deint=interlaced",
        "setpts=PTS-STARTPTS",
        f"fps={fps}:round=up",
        f"scale={width}:{height}:flags=bicubic+full_chroma_int+accurate_rnd",
    ]
    words = [
        "-flags",
        "unaligned",
        "-i",
        str(path),
        "-an",
        "-vf",
        ",".join(filters),
        "-fps_mode",
        "passthrough",
    ]
    data = ffmpeg(*words, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


def ffmpeg(*words: str, sent: bytes | None = None) -> bytes:
    """Run the program; what it writes."""
    command = [get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *words]
    done = subprocess.run(command, input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
