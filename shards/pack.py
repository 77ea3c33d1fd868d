"""`surgstream pack`: from a corpus file to shards, in a folder or on S3."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from configs.loading import load
from shards.corpus import CorpusConfig, find_corpus
from shards.look.report import report_folder, write_report
from shards.packing import pack, pack_share, prepare
from shards.schema import QUARANTINE_NAME, READINGS_NAME
from shards.shares import Share
from shards.storage import open_storage

QUARANTINE_STATUS = 3

DESCRIPTION = """\
Pack videos into WebDataset shards: JPEG frames at a steady rate, in tar files of about 1 GB with an index beside each.

CORPUS.yaml lists the datasets; paths in it are relative to it, or to --root:

  datasets:
    - name: cholec80
      specialty: laparoscopic_cholecystectomy
      procedure: cholecystectomy
      videos: "videos/*.mp4"                 # or a list of globs, files and s3:// addresses
      hold_out: [video41, "video[5-8]*"]     # optional: ids and globs of ids that are never packed for training, or a
                                             # file with one a line
      labels: {phase: "labels/{video}.csv"}  # optional: CSV with the columns `second` and `phase`
      licence: CC-BY-NC-SA-4.0               # optional
      expected: {videos: 40, frames: 86344}  # optional, also hours: counts (frames one a second) to warn of, if what is
                                             # packed to train has others
    - name: m2cai16
      specialty: laparoscopic_cholecystectomy
      procedure: cholecystectomy
      videos: "frames/*"                     # folders of numbered images,
      image_fps: 1                           # so many numbers a second
  subsets: {A: [cholec80]}                   # optional: what --subset A packs

Presets of public datasets, in place of CORPUS.yaml: surgvista (the videos), surgvista_frames (the folders of images of
its published code) and surgrec. Each file, in configs/pack, says which folders it expects below --root, by default the
current folder, what it holds out, and what could not be found out. Pack what you have by --datasets or --subset.

OUT is a folder or s3://BUCKET/PREFIX. Packing again does only what is missing: what is new, what has changed (by size
and time, or ETag), and what an interruption left undone. Other options change every frame, so they pack every shard
again; shards that are packed again or removed are told on stderr, with the reason. OUT may not hold shards of anything
else. One packing at a time works in OUT: a folder is locked meanwhile, S3 cannot be, but there a manifest that somebody
else published meanwhile is not overwritten.

On many machines, as a Slurm array: first run with --plan-only; then, side by side, N tasks with --part 0/N, --part 1/N
and so on; then run without either, which packs what a task that failed left undone, and publishes the corpus. Parts
keep to the plan, so any of them may run again, at any time; each shard is the same whoever packs it. Write N out:
SLURM_ARRAY_TASK_COUNT is 1 in a task that is submitted again alone.

Frame k is what the video shows k / fps seconds after its first frame, as `ffmpeg -vf fps=FPS:round=up` finds it:
upright, with square pixels, deinterlaced where it is interlaced. Of a damaged or truncated video all that decodes is
packed; OUT/readings.jsonl tells how each video was read, and which seconds of it are lost.

Once a second packing looks whether a frame is black, of one colour, a test card, a text slide, or from outside of the
body, and for writing that is burnt in and, where OpenCV is installed, for faces. What it found stands there as well,
with scores and small pictures, and on the page that --report writes. Nothing is left out unless `drop` asks for it.
Whoever looks through the report can save what to keep and what to drop as a file, to be given by --review, or by
`review: review.csv` in the corpus file; only shards of videos about which something else is decided are packed again.

A video's frames are held in memory until its last one is decoded, and in the temporary folder (TMPDIR, else /tmp) where
they exceed 256 MiB: about 4 hours at 1 frame a second, each worker for itself.
"""

EPILOG = """\
options, with their defaults; they may also stand under `pack:` in the corpus file:
  split=train           what is not held out; split=held_out packs only that
  fps=1.0               frames a second of video, 0.001 to 1000
  short_side=256        shorter side of a frame in pixels; a smaller source keeps its size
  jpeg_quality=85       1 to 100
  crop_borders=False    cut the black borders around an endoscope's picture off, the same for all of a video
  drop=[]               leave out what is black, blank, test_card, text, outside, face: a part ends there
  segment_frames=64     most frames in a WebDataset sample
  decode=cpu            nvdec decodes on an NVIDIA GPU what that can
  shard_bytes=1000000000  what a shard should come to; a video is never split over two
  workers=null          packing processes; one a core when null

examples:
  surgstream pack corpus.yaml shards
  surgstream pack corpus.yaml s3://bucket/corpus fps=5 short_side=224 workers=16
  surgstream pack corpus.yaml shards --part "$SLURM_ARRAY_TASK_ID/16"
  surgstream pack surgvista shards --root /data --datasets cholec80,autolaparo
  surgstream pack corpus.yaml held_out split=held_out     # only the held-out videos, to watch the loss on them

exit status: 0 all packed; 3 packed, except for the videos that OUT/quarantine.jsonl names with the reason;
1 not packed; 2 wrong arguments or corpus file. With --plan-only and --part a quarantined video does not show in it.
"""


def main(argv: Sequence[str]) -> int:
    """Run `surgstream pack`.

    Args:
        argv: The words after `pack`.

    Returns:
        The exit status.
    """
    arguments = _parser().parse_intermixed_args(argv)
    if arguments.report is not None and (arguments.plan_only or arguments.part is not None):
        _parser().error("--report: expected neither --plan-only nor --part, which publish nothing to report on")
    path, root = find_corpus(arguments.corpus)
    root = arguments.root or root
    corpus = load(CorpusConfig, path, [f"pack.{word}" for word in arguments.options])
    review = arguments.review or (corpus.review and str(path.parent / corpus.review))
    corpus = replace(corpus.part(arguments.subset, arguments.datasets), review=review)
    storage = open_storage(arguments.out)
    if arguments.plan_only:
        receipts = list(prepare(corpus, root, storage).values())
        sys.stdout.write(f"{receipts.count(None)} of {len(receipts)} shards are still to be packed\n")
        return 0
    if arguments.part is not None:
        before = list(pack_share(corpus, root, storage, arguments.part).values())
        sys.stdout.write(f"packed {before.count(None)} of the {len(before)} shards of this part; the rest was there\n")
        return 0
    packed = pack(corpus, root, storage)
    sys.stdout.write(packed.table())
    if arguments.report is not None:
        sys.stdout.write(f"report: {write_report(storage, arguments.report)}\n")
    incomplete = sum(bool(reading.lost) for reading in packed.readings)
    if incomplete:
        sys.stdout.write(
            f"damaged videos: {incomplete}; what they have lost: {storage.uri.rstrip('/')}/{READINGS_NAME}\n"
        )
    if packed.quarantine:
        sys.stdout.write(f"in quarantine, with reasons: {storage.uri.rstrip('/')}/{QUARANTINE_NAME}\n")
        return QUARANTINE_STATUS
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="surgstream pack",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", metavar="CORPUS.yaml", help="the corpus file, or a preset such as surgvista")
    parser.add_argument("out", metavar="OUT", help="a folder or s3://BUCKET/PREFIX")
    parser.add_argument(
        "options",
        metavar="key=value",
        nargs="*",
        help="how to pack; also understood under `pack:` in the corpus file",
    )
    parser.add_argument(
        "--root",
        metavar="ROOT",
        help="where the file's relative paths start: a folder or s3://BUCKET/PREFIX (default: the file's folder; the "
        "current one for a preset)",
    )
    parser.add_argument("--review", metavar="FILE", help="what a person has decided to keep and to drop")
    parser.add_argument("--report", metavar="FOLDER", type=report_folder, help="then write a page about what was found")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--subset", metavar="NAME", help="pack only the datasets of one of the file's subsets")
    choice.add_argument("--datasets", metavar="A,B", help="pack only these datasets")
    steps = parser.add_mutually_exclusive_group()
    steps.add_argument("--plan-only", action="store_true", help="save the plan, pack nothing")
    steps.add_argument("--part", metavar="K/N", type=_share, help="pack what is missing of one of N equal parts")
    return parser


def _share(text: str) -> Share:
    try:
        return Share.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
