"""`surgstream inspect`: what a packed corpus holds, in numbers and in pictures."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from surgstream.configs.loading import to_tree
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.outside import check_outside
from surgstream.shards.inspection.bars import draw_bars
from surgstream.shards.inspection.packed_frames import (
    Placed,
    find_video,
    nearest_frame,
    read_frames,
    spread,
)
from surgstream.shards.inspection.sheet import draw_sheet
from surgstream.shards.inspection.strip import strip
from surgstream.shards.inspection.summary import Summaries, summarise
from surgstream.shards.storage.stores import Storage, open_storage

VIDEOS_OF_A_SHEET, COLUMNS, FRAMES_OF_A_VIDEO = 12, 8, 64


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream inspect`."""
    storage = open_storage(words.corpus)
    manifest = Manifest.load(storage)

    if words.video is not None:
        placed = find_video(manifest, words.video)
        sys.stdout.write(_told(placed))
        for path in _pictures_of(storage, placed, words.out, second=words.second, grid=words.grid):
            sys.stdout.write(f"{path}\n")
        return 0

    if words.report is not None:
        from surgstream.shards.inspection.report import (
            write_report,
        )  # they need PyAV, which the rest does not
        from surgstream.shards.packing.plan import planned_films

        check_outside("--report", words.report, storage.uri)
        sys.stdout.write(f"{write_report(storage, words.report, planned_films(storage))}\n")
        return 0

    summaries = summarise(manifest, storage.uri, words.short)
    sys.stdout.write(
        json.dumps(to_tree(summaries), indent=1) + "\n" if words.json else summaries.text()
    )
    # Standard output is JSON alone, for programs to read
    told = sys.stderr if words.json else sys.stdout
    if words.plot:
        told.write(f"{_write(words.out / 'hours.svg', _hours(summaries).encode())}\n")

    for summary in summaries.datasets if words.grid else ():
        videos = [
            Placed(s, video)
            for s in manifest.shards
            if s.dataset == summary.name
            for video in s.videos
        ]
        shown = [videos[number] for number in spread(len(videos), VIDEOS_OF_A_SHEET)]
        sheet = draw_sheet((strip(storage, placed, COLUMNS) for placed in shown), COLUMNS)
        path = _folder(words.out) / f"{summary.name}.png"
        sheet.save(path)
        told.write(f"{path}\n")
    return 0


def _told(placed: Placed) -> str:
    video, shard = placed.video, placed.shard
    spans = ((part.first_frame, part.first_frame + part.num_frames) for part in video.parts)
    parts = ", ".join(f"{start / video.fps:g} to {stop / video.fps:g} s" for start, stop in spans)
    return (
        f"{placed.name}: {video.source}, {shard.specialty}, {shard.procedure}\n{video.num_frames} "
        f"frames of {video.width}x{video.height} at {video.fps:g} a second, in {shard.name}\n"
        f"parts: {parts}\n"
    )


def _pictures_of(
    storage: Storage, placed: Placed, out: Path, *, second: float | None, grid: bool
) -> Iterator[Path]:
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
    return draw_bars(
        f"{summaries.total.hours:,.2f} hours in {summaries.total.num_videos:,} videos", groups, "h"
    )


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: Path, data: bytes) -> Path:
    _folder(path.parent)
    path.write_bytes(data)
    return path
