"""`surgstream inspect`: show a packed corpus in numbers and in pictures."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from surgstream.configs.loading import to_tree
from surgstream.shards.format.layers import LayerManifest, find_layers
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.outside import check_outside
from surgstream.shards.inspection.bars import draw_bars
from surgstream.shards.inspection.overlay import layer_strip
from surgstream.shards.inspection.packed_frames import (
    Placed,
    all_videos,
    find_video,
    nearest_frame,
    read_frames,
    spread,
)
from surgstream.shards.inspection.sheet import Row, draw_sheet
from surgstream.shards.inspection.strip import strip
from surgstream.shards.inspection.summary import Summaries, summarise
from surgstream.shards.reading.layers import Layer, open_layer
from surgstream.shards.storage.stores import Storage, open_storage

VIDEOS_OF_A_SHEET = 12
COLUMNS = 8
FRAMES_OF_A_VIDEO = 64


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream inspect`."""
    storage = open_storage(words.corpus)
    manifest = Manifest.load(storage)

    if words.video is not None:
        placed = find_video(manifest, words.video)
        sys.stdout.write(_description(placed))
        for path in _pictures_of(storage, placed, words.out, second=words.second, grid=words.grid):
            sys.stdout.write(f"{path}\n")
        return 0

    if words.report is not None:
        # They need PyAV, which the rest does not.
        from surgstream.shards.inspection.report import write_report
        from surgstream.shards.packing.plan import planned_films

        check_outside("--report", words.report, storage.uri)
        sys.stdout.write(f"{write_report(storage, words.report, planned_films(storage))}\n")
        return 0

    layers = [LayerManifest.load(storage, name) for name in find_layers(storage)]
    summaries = summarise(manifest, storage.uri, words.short, layers)
    if words.json:
        sys.stdout.write(json.dumps(to_tree(summaries), indent=1) + "\n")
    else:
        sys.stdout.write(summaries.text())

    # With --json, standard output is JSON alone, for programs to read.
    messages = sys.stderr if words.json else sys.stdout
    if words.plot:
        path = _write(words.out / "hours.svg", _hours(summaries).encode())
        messages.write(f"{path}\n")
    if words.grid:
        for summary in summaries.datasets:
            messages.write(f"{_grid(storage, manifest, summary.name, words.out)}\n")
    return 0


def _grid(storage: Storage, manifest: Manifest, dataset: str, out: Path) -> Path:
    """Write a contact sheet of some videos of a dataset."""
    videos = [placed for placed in all_videos(manifest) if placed.shard.dataset == dataset]
    shown = [videos[number] for number in spread(len(videos), VIDEOS_OF_A_SHEET)]
    layers = _layers(storage)
    rows = (row for placed in shown for row in _rows(storage, placed, layers, COLUMNS))
    sheet = draw_sheet(rows, COLUMNS)
    path = _folder(out) / f"{dataset}.png"
    sheet.save(path)
    return path


def _layers(storage: Storage) -> list[Layer]:
    return [open_layer(storage, name) for name in find_layers(storage)]


def _rows(storage: Storage, placed: Placed, layers: Sequence[Layer], most: int) -> Iterator[Row]:
    """Rows of a video: its frames, and its frames with each layer over them."""
    yield strip(storage, placed, most)
    for layer in layers:
        row = layer_strip(storage, layer, placed, most)
        if row is not None:
            yield row


def _description(placed: Placed) -> str:
    video = placed.video
    shard = placed.shard
    frames = f"{video.num_frames} frames of {video.width}x{video.height} at {video.fps:g} a second"

    parts = []
    for part in video.parts:
        start = part.first_frame / video.fps
        stop = (part.first_frame + part.num_frames) / video.fps
        parts.append(f"{start:g} to {stop:g} s")

    return (
        f"{placed.name}: {video.source}, {shard.specialty}, {shard.procedure}\n"
        f"{frames}, in {shard.name}\n"
        f"parts: {', '.join(parts)}\n"
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
        rows = _rows(storage, placed, _layers(storage), FRAMES_OF_A_VIDEO)
        draw_sheet(rows, COLUMNS).save(path)
        yield path


def _hours(summaries: Summaries) -> str:
    groups = [
        ("by specialty", [(summary.name, summary.hours) for summary in summaries.specialties]),
        ("by dataset", [(summary.name, summary.hours) for summary in summaries.datasets]),
    ]
    total = summaries.total
    return draw_bars(f"{total.hours:,.2f} hours in {total.num_videos:,} videos", groups, "h")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: Path, data: bytes) -> Path:
    _folder(path.parent)
    path.write_bytes(data)
    return path
