"""`surgstream pack`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_place
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command
from surgstream.shards.format.outside import report_folder
from surgstream.shards.packing.shares import PackingShare

DESCRIPTION = """\
Pack videos into WebDataset shards: JPEG frames at a steady rate, in tar files of about 1 GB with an
index beside each.

CORPUS is a folder of videos, a folder of a bucket (s3://BUCKET/PREFIX), or a corpus file that lists
datasets; paths in it are relative to it, or to --root:

  datasets:
    - name: cholec80
      specialty: laparoscopic_cholecystectomy
      procedure: cholecystectomy
      videos: "videos/*.mp4"        # or a list of globs, files, s3:// addresses
      hold_out: [video41, "video[5-8]*"]     # see below
      labels: {phase: "labels/{video}.csv"}  # columns `second` and `phase`
      min_seconds: 60               # shorter videos are left out
      licence: CC-BY-NC-SA-4.0
      expected: {videos: 40, frames: 86344}  # also hours
    - name: m2cai16
      specialty: laparoscopic_cholecystectomy
      procedure: cholecystectomy
      videos: "frames/*"            # folders of numbered images,
      image_fps: 1                  # numbers a second
    - name: polyps
      specialty: endoscopy
      procedure: colonoscopy
      videos: "images/*.png"
      stills: true                  # each image is a video of one frame
      layers: {mask: "masks/{video}.png"}    # see below
    - name: recorder
      specialty: gynaecology
      procedure: hysterectomy
      videos: "cases/*/*.MTS"       # case1/00000.MTS, case2/00000.MTS, ...
      id: "{parent}_{stem}"         # case1_00000, case2_00000, ...
  subsets: {A: [cholec80]}          # what --subset A packs

Optional are: `id`, by default "{stem}", the name of a video's file, to which {parent},
{grandparent} and {parent3} to {parent6} add those of the folders above it; `hold_out`, the ids, and
globs of ids, that are never packed for training, or a file with one a line; `labels`, with {video}
where the id goes; `min_seconds`, the least that is packed of a video, without what is dropped:
shorter ones are left out, and counted in the last lines; `images`, a glob of a folder's images,
such as "*_color.png", where it has others too; `licence`, by its SPDX identifier; `expected`, counts
(frames one a second) to warn of, if what is packed to train has others, and `whole`, those of all
videos, held out or not, where all are packed; `subsets`; and `about`, which tells everybody what
packing cannot know, in OUT's croissant.json (Croissant 1.1): name, description, url, creators,
published, version, citation, collection, sensitive, limitations, biases and use_cases.

Of a folder all videos are one dataset, at any depth and of any kind. A tar is taken for a folder, and
a folder that has no videos is looked into for tars of them. Its corpus file is printed
before it is packed, or instead by --print-corpus, so that one can go on from there.

Presets of public datasets, in place of CORPUS: surgvista (the videos), surgvista_frames (the
folders of images of its published code), unisurg and surgrec, to train on; evaluate, to judge by
the tasks in configs/evaluate/tasks, with every video (split=all). Each file, in configs/pack, says
which folders it expects below --root, by default the current folder, what it holds out, and what
could not be found out. Pack what you have by --datasets or --subset.

`layers` are dense labels, a picture for each frame, packed beside the frames at their crop and size:
masks, gray images or lossless gray video (FFV1) of the numbers of classes, or distances, with what
a value of 1 means, as in {depth: {path: "depth/{video}", millimetres_per_unit: 0.01}}. A path names
a video of the same pictures, an image for a still image, or a folder of numbered images (PNG, TIFF,
BMP), where some may be missing: their numbers are those of the video's pictures, from `first` on
(by default 0), or `image_fps` of them pass in a second. The last step may be a glob. Layers can be
added later: frames are not packed again.

OUT is a folder or s3://BUCKET/PREFIX; SURGSTREAM_STORES=FILE says how each bucket is reached, where
not all are reached alike (docs/s3.md). Packing again does only what is missing: what is new, what
has changed (by size and time, or ETag), and what an interruption left undone. Other options change
every frame, so they pack every shard again; shards that are packed again or removed are told on
stderr, with the reason. OUT may not hold shards of anything else. One packing at a time works in
OUT, and another one is told who it is; a manifest that somebody else has published in the meantime
is not overwritten.

On many machines, as a Slurm array: first run with --plan-only; then, side by side, N tasks with
--part 0/N, --part 1/N and so on; then run without either, which packs what a task that failed left
undone, and publishes the corpus. Parts keep to the plan, so any of them may run again, at any time;
each shard is the same, whichever part packs it. Write N out: SLURM_ARRAY_TASK_COUNT is 1 in a task that is
submitted again alone.

Frame k is what the video shows k / fps seconds after its first frame, as `ffmpeg -vf
setpts=PTS-STARTPTS,fps=FPS:round=up` finds it: upright, with square pixels, deinterlaced where it
is interlaced, without what the container declares to be cut off. Its first picture decides the size
of all frames; where size or proportions change later, pictures keep their own, on black where they
do not fill the frame. Of a damaged or truncated video all that decodes is packed: after damage from
the next key frame or recovery point on, or after 60 seconds without any. OUT/readings.jsonl tells
how each video was read, where its pictures change, and which seconds of it are lost. A store or
file system that fails stops packing.

Once a second packing looks whether a frame is black, of one colour, a test card, a text slide, or
from outside of the body, and for writing that is burnt in; every other second at least it looks for
faces, and takes one to last up to the nearest frames that were searched in vain. What it found
stands there as well, with scores, and on the page that --report writes, with pictures: what is
dropped is in no file of OUT, so the page takes its pictures from the videos. Nothing is left out
unless `drop` asks for it; what `drop` asks for and cannot be looked for here, as faces where OpenCV
does not work, is an error before anything is packed. The last lines of packing say what was found
and how much of it is dropped. A person who looks through the report can save what to keep and what
to drop as a file, to be given by --review, or by `review: review.csv` in the corpus file; only shards
of videos about which something else is decided are packed again.

Views from outside are told by their colours: of real ones 82 % were found in a recording of an
operation, 22 to 71 % in other videos and photographs, and none was seen in 2,001 frames of
operations.

OUT calls a video by the name of its file, which in a hospital may be a patient's. With --pseudonyms
FILE, or with `pseudonyms: names.csv` in the corpus file, neither names nor folders nor times of
files are written into OUT: a video is called what FILE says, a CSV with the columns dataset, video
and pseudonym that is kept outside of OUT, and to which packing adds what is new at random.
`hold_out` and `labels` go by the real names, a review by those of the report.

A video's frames are held in memory until its last one is decoded, and in the temporary folder
(TMPDIR, else /tmp) where they exceed 256 MiB, about 4 hours at 1 frame a second. Each worker has
that much for itself; where it has more cores than one, it decodes as many videos of its shard side by
side, which share it.
"""

EPILOG = """\
options, with their defaults; they may also stand under `pack:` in the corpus file:
  split=train           what is not held out; split=held_out packs only that,
                        split=all both
  fps=1.0               frames a second of video, 0.001 to 1000
  short_side=256        shorter side of a frame in pixels; a smaller source
                        keeps its size
  jpeg_quality=85       1 to 100
  crop_borders=False    cut the black borders around an endoscope's picture
                        off, the same for all of a video
  drop=[]               leave out what is black, uniform, test_card, text,
                        out_of_body, face: a part ends there
  min_seconds=0.0       leave shorter videos out, where a dataset says nothing
                        else
  segment_frames=64     most frames in a WebDataset sample
  decode=cpu            nvdec decodes on an NVIDIA GPU what that can
  shard_bytes=1000000000  what a shard should come to; a video is never split
  workers=null          packing processes; one a core when null

examples:
  surgstream pack videos shards fps=5
  surgstream pack corpus.yaml shards
  surgstream pack corpus.yaml s3://bucket/corpus fps=5 short_side=224 workers=16
  surgstream pack corpus.yaml shards --part "$SLURM_ARRAY_TASK_ID/16"
  surgstream pack surgvista shards --root /data --datasets cholec80,autolaparo
  surgstream pack corpus.yaml held_out split=held_out
      only the held-out videos, to watch the loss on them
  surgstream pack evaluate tests --root /data --datasets cholec80
      all videos, whose labels a task splits into train, val and test

exit status: 0 packed, except for the videos that OUT/quarantine.jsonl names with the reason, if
there are any; 3 with --strict where there are; 1 not packed; 2 wrong arguments or corpus file. With
--plan-only and --part a quarantined video does not show in it.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream pack`."""
    parser = command("pack", "surgstream.shards.commands.pack", DESCRIPTION, EPILOG)
    _add_corpus(parser)
    _add_selection(parser)
    _add_steps(parser)

    words = parser.parse_intermixed_args(argv)
    if words.report is not None and (words.plan_only or words.part is not None):
        parser.error(
            "--report: expected neither --plan-only nor --part, which publish nothing to report on"
        )
    return words


def _add_corpus(parser: argparse.ArgumentParser) -> None:
    """Add what is packed, how, and what is written besides."""
    parser.add_argument(
        "corpus",
        metavar="CORPUS",
        type=to_place,
        help="the corpus file, a preset such as surgvista, or a folder of videos",
    )
    parser.add_argument("out", metavar="OUT", type=to_place, help="a folder or s3://BUCKET/PREFIX")
    parser.add_argument(
        "options",
        metavar="key=value",
        nargs="*",
        help="how to pack; also understood under `pack:` in the corpus file",
    )

    parser.add_argument(
        "--root",
        metavar="ROOT",
        type=to_place,
        help="where the file's relative paths start: a folder or s3://BUCKET/PREFIX (default: the "
        "file's folder; the current one for a preset)",
    )
    parser.add_argument(
        "--review",
        metavar="FILE",
        type=to_place,
        help="what a person has decided to keep and to drop",
    )
    parser.add_argument(
        "--pseudonyms",
        metavar="FILE",
        type=to_place,
        help="call videos what this CSV file says, not by their names",
    )
    parser.add_argument(
        "--strict", action="store_true", help="fail, with 3, where a video could not be packed"
    )
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        type=report_folder,
        help="then write a page about what was found",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the choice of datasets and videos."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--subset", metavar="NAME", help="pack only the datasets of one of the file's subsets"
    )
    choice.add_argument("--datasets", metavar="A,B", help="pack only these datasets")
    parser.add_argument(
        "--hold-out",
        metavar="N",
        type=Number(int, 0, 10**9),
        default=0,
        help="of a folder, hold the last N videos out, but never all of them",
    )


def _add_steps(parser: argparse.ArgumentParser) -> None:
    """Add the steps that can be taken alone."""
    steps = parser.add_mutually_exclusive_group()
    steps.add_argument(
        "--print-corpus", action="store_true", help="print the corpus file, pack nothing"
    )
    steps.add_argument("--plan-only", action="store_true", help="save the plan, pack nothing")
    steps.add_argument(
        "--part", metavar="K/N", type=_share, help="pack what is missing of one of N equal parts"
    )


def _share(text: str) -> PackingShare:
    try:
        return PackingShare.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
