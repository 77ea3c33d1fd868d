"""`surgstream inspect`: what a packed corpus holds, in numbers and in pictures."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from configs.loading import to_tree
from shards.look.bars import draw_bars
from shards.look.frames import Placed, find_video, nearest_frame, read_frames, spread
from shards.look.report import report_folder, write_report
from shards.look.sheet import draw_sheet
from shards.look.strip import strip
from shards.look.summary import Summaries, summarise
from shards.manifest import Manifest
from shards.storage import Storage, open_storage

DESCRIPTION = """\
Print what a packed corpus holds: datasets, hours, frames, sizes, videos too short for a clip, and what share of the
draws each dataset and specialty has without weights. With --grid and --plot it is drawn; with --report a page has each
video's pictures, its crop and all that was found in it; with --video one video is looked at. Only what is shown is
read, also on S3.
"""

EPILOG = """\
examples:
  surgstream inspect shards
  surgstream inspect s3://bucket/corpus --json > corpus.json
  surgstream inspect shards --plot --grid --out pictures     # hours.svg, and a contact sheet DATASET.png of each
  surgstream inspect shards --report report                  # report/index.html: what was found, cropped and dropped
  surgstream inspect shards --video cholec80/video41 --grid  # its frames over time: cholec80_video41.png
  surgstream inspect shards --video video41 --second 1200    # that frame, as packed: cholec80_video41_1200s.jpg
"""

VIDEOS_OF_A_SHEET, COLUMNS, FRAMES_OF_A_VIDEO = 12, 8, 64


def main(argv: Sequence[str]) -> int:
    """Run `surgstream inspect`.

    Args:
        argv: The words after `inspect`.

    Returns:
        The exit status.
    """
    arguments = _parser().parse_args(argv)
    if arguments.second is not None and arguments.video is None:
        _parser().error("--second: expected --video as well")
    storage = open_storage(arguments.corpus)
    manifest = Manifest.load(storage)
    if arguments.video is not None:
        placed = find_video(manifest, arguments.video)
        sys.stdout.write(_told(placed))
        for path in _pictures_of(storage, placed, arguments.out, second=arguments.second, grid=arguments.grid):
            sys.stdout.write(f"{path}\n")
        return 0
    if arguments.report is not None:
        sys.stdout.write(f"{write_report(storage, arguments.report)}\n")
        return 0
    summaries = summarise(manifest, storage.uri, arguments.short)
    sys.stdout.write(json.dumps(to_tree(summaries), indent=1) + "\n" if arguments.json else summaries.text())
    told = sys.stderr if arguments.json else sys.stdout
    if arguments.plot:
        told.write(f"{_write(arguments.out / 'hours.svg', _hours(summaries).encode())}\n")
    for summary in summaries.datasets if arguments.grid else ():
        videos = [Placed(s, video) for s in manifest.shards if s.dataset == summary.name for video in s.videos]
        shown = [videos[number] for number in spread(len(videos), VIDEOS_OF_A_SHEET)]
        sheet = draw_sheet((strip(storage, placed, COLUMNS) for placed in shown), COLUMNS)
        path = _folder(arguments.out) / f"{summary.name}.png"
        sheet.save(path)
        told.write(f"{path}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="surgstream inspect",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", metavar="CORPUS", help="the packed corpus: a folder or s3://BUCKET/PREFIX")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    parser.add_argument("--short", metavar="T", type=int, default=16, help="videos of fewer frames are short; 16")
    parser.add_argument("--plot", action="store_true", help="draw hours by specialty and dataset")
    parser.add_argument("--grid", action="store_true", help="write contact sheets")
    parser.add_argument(
        "--report", metavar="FOLDER", type=report_folder, help="write a page about how each video was packed"
    )
    parser.add_argument("--video", metavar="V", help="look at one video: its id, DATASET/ID, or its file's name")
    parser.add_argument("--second", metavar="S", type=float, help="write the frame of that second as it was packed")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path(), help="where pictures are written; here")
    return parser


def _told(placed: Placed) -> str:
    video, shard = placed.video, placed.shard
    spans = ((part.first_frame, part.first_frame + part.num_frames) for part in video.parts)
    parts = ", ".join(f"{start / video.fps:g} to {stop / video.fps:g} s" for start, stop in spans)
    return (
        f"{placed.name}: {video.source}, {shard.specialty}, {shard.procedure}\n"
        f"{video.num_frames} frames of {video.width}x{video.height} at {video.fps:g} a second, in {shard.name}\n"
        f"parts: {parts}\n"
    )


def _pictures_of(storage: Storage, placed: Placed, out: Path, *, second: float | None, grid: bool) -> Iterator[Path]:
    stem = placed.name.replace("/", "_")
    if second is not None:
        number = nearest_frame(placed, second)
        (jpeg,) = read_frames(storage, placed, [number])
        yield _write(out / f"{stem}_{placed.seconds[number]:g}s.jpg", jpeg)
    if grid:
        path = _folder(out) / f"{stem}.png"
        draw_sheet([strip(storage, placed, FRAMES_OF_A_VIDEO)], COLUMNS).save(path)
        yield path


def _hours(summaries: Summaries) -> str:
    groups = [
        ("by specialty", [(summary.name, summary.hours) for summary in summaries.specialties]),
        ("by dataset", [(summary.name, summary.hours) for summary in summaries.datasets]),
    ]
    return draw_bars(f"{summaries.total.hours:,.2f} hours in {summaries.total.num_videos:,} videos", groups, "h")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: Path, data: bytes) -> Path:
    _folder(path.parent)
    path.write_bytes(data)
    return path
