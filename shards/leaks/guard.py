"""`surgstream leaks`: what a packed corpus shows twice, and what it shows of held-out videos."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from configs.loading import to_tree
from shards.errors import LeakError
from shards.leaks.matching import Library, bands_of, find_matches
from shards.leaks.prints import FRAMES, Bits
from shards.leaks.reading import read_prints, step_seconds
from shards.look.frames import Placed
from shards.manifest import Manifest
from shards.packed import Shard
from shards.processes import Progress, cores, run_all
from shards.storage import open_storage

DESCRIPTION = """\
Find stretches that two videos of packed corpora both show, also where one is coded again, scaled, cropped a little,
cut or under a logo. Videos of TRAIN are compared with each other and with those of every HELD_OUT, which is what
`surgstream pack split=held_out` makes of a test set. A stretch has to last 20 to 30 seconds in a small corpus, 30 to
45 in one of 10,000 hours, since chance finds more there. What stands still or is mirrored is not found.

Each line gives a score, from 0, chance, to 1, the same; the kind of pair; and both videos with the seconds that they
share, within a few. Kinds: `held_out`, a leak; `across`, of two datasets of TRAIN; `within`, of one. The last two are
no leaks: they make what they show weigh more than the rest.
"""

EPILOG = """\
examples:
  surgstream leaks shards
  surgstream leaks shards --against held_out s3://bucket/test_sets --fail-on-leak
  surgstream leaks shards --against held_out --json > leaks.json

exit status: 0 compared; 1 a corpus could not be read, or with --fail-on-leak TRAIN shows what is held out; 2 wrong
arguments.
"""

KINDS = ("held_out", "across", "within")


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Seconds of a video, from its first picture on."""

    corpus: str
    dataset: str
    video: str
    start: float
    stop: float


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Two stretches that show the same; `second` is the held-out one where one is. `score` is 0 to 1."""

    kind: str
    first: Stretch
    second: Stretch
    score: float


@dataclass(frozen=True)
class PrintTask:
    """A shard, the address of its corpus, and seconds from one fingerprint to the next."""

    number: int
    corpus: str
    shard: Shard
    step: float


def main(argv: Sequence[str]) -> int:
    """Run `surgstream leaks`.

    Args:
        argv: The words after `leaks`.

    Returns:
        The exit status.

    Raises:
        LeakError: A held-out video was met and --fail-on-leak was given.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        parser.error(f"--workers: expected at least 1, got {arguments.workers}")
    if arguments.train in arguments.against:
        parser.error(f"--against: expected other corpora than TRAIN, got {arguments.train}")
    if arguments.fail_on_leak and not arguments.against:
        parser.error("--fail-on-leak: expected --against as well")
    corpora = {uri: Manifest.load(open_storage(uri)) for uri in (arguments.train, *arguments.against)}
    findings = sorted(find_leaks(corpora, workers=arguments.workers), key=_place)
    sys.stdout.write(_as_json(findings) if arguments.json else _told(findings))
    sys.stdout.flush()
    leaking = sorted({f"{f.first.dataset}/{f.first.video}" for f in findings if f.kind == "held_out"})
    if arguments.fail_on_leak and leaking:
        some = ", ".join(leaking[:5]) + ", ..." * (len(leaking) > 5)
        raise LeakError(
            f"{arguments.train}: expected nothing of what is held out, got stretches of it in {len(leaking)} of its "
            f"videos: {some}; hold them out, and pack again"
        )
    return 0


def find_leaks(corpora: dict[str, Manifest], *, workers: int) -> Iterator[Finding]:
    """Compare corpora.

    Args:
        corpora: Manifests by address, first that to train on, then those that are held out.
        workers: Processes at a time.

    Yields:
        What videos of the first share with each other and with those of the others.

    Raises:
        CorruptSampleError: A frame is damaged.
        StorageError: A store fails.
    """
    train = next(iter(corpora))
    shards = [(corpus, shard) for corpus, manifest in corpora.items() for shard in manifest.shards]
    step = step_seconds(video.fps for _, shard in shards for video in shard.videos)
    tasks = [PrintTask(number, corpus, shard, step) for number, (corpus, shard) in enumerate(shards)]
    frames = [shard.num_frames for _, shard in shards]
    done = {task.number: bits for task, bits in run_all(_prints_of, tasks, frames, workers=workers, label="leaks")}
    videos = [(corpus, shard.dataset, video.id) for corpus, shard in shards for video in shard.videos]
    library = Library([bits for task in tasks for bits in done.pop(task.number)])
    bands = bands_of(len(library.bits))
    for match in find_matches(library, tqdm(bands, "compare", unit=" bands", dynamic_ncols=True)):
        one, other = videos[match.first], videos[match.second]
        if one[0] == train:
            seconds = (match.length - 1 + FRAMES) * step
            yield Finding(
                kind="held_out" if other[0] != train else "within" if other[1] == one[1] else "across",
                first=_stretch(*one, match.first_start * step, seconds),
                second=_stretch(*other, match.second_start * step, seconds),
                score=round(match.score, 3),
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="surgstream leaks",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("train", metavar="TRAIN", help="the packed corpus to train on: a folder or s3://BUCKET/PREFIX")
    parser.add_argument(
        "--against", metavar="HELD_OUT", nargs="+", action="extend", default=[], help="packed corpora held out of it"
    )
    parser.add_argument("--fail-on-leak", action="store_true", help="exit with 1 where TRAIN shows what is held out")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.add_argument("--workers", metavar="N", type=int, default=cores(), help="processes; one a core by default")
    return parser


def _prints_of(task: PrintTask, progress: Progress) -> list[Bits]:
    storage, found = open_storage(task.corpus), []
    for video in task.shard.videos:
        found.append(read_prints(storage, Placed(task.shard, video), task.step))
        progress(video.num_frames)
    return found


def _stretch(corpus: str, dataset: str, video: str, start: float, seconds: float) -> Stretch:
    return Stretch(corpus=corpus, dataset=dataset, video=video, start=start, stop=start + seconds)


def _place(finding: Finding) -> tuple[int, str, str, float]:
    first = finding.first
    return KINDS.index(finding.kind), first.dataset, first.video, first.start


def _as_json(findings: Sequence[Finding]) -> str:
    return json.dumps([to_tree(finding) for finding in findings], indent=1) + "\n"


def _told(findings: Sequence[Finding]) -> str:
    """A line for each finding, and how many of each kind there are."""
    lines = [
        f"{finding.score:.2f}  {finding.kind:<8}  {_named(finding.first)}  =  {_named(finding.second)}"
        for finding in findings
    ]
    counts = Counter(finding.kind for finding in findings)
    total = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
    return "\n".join([*lines, f"stretches that two videos show: {total}\n"])


def _named(stretch: Stretch) -> str:
    return f"{stretch.dataset}/{stretch.video} {stretch.start:,.0f} to {stretch.stop:,.0f} s"
