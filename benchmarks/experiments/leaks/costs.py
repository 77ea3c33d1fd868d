"""The costs of the search for copies: fingerprints against packing, and matching at the size of large corpora."""

import math
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from surgstream.benchmarks.experiments.pack_videos import cost_of, cpu_seconds, emptied, made, ours
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.inspection.packed_frames import Placed
from surgstream.shards.leaks.candidates import Library, bands_of
from surgstream.shards.leaks.matching import find_matches
from surgstream.shards.leaks.read import fingerprint_video
from surgstream.shards.leaks.thumbnails import WORDS, Bits
from surgstream.shards.storage.stores import open_storage

Coins = npt.NDArray[np.float32]

SIZES = (250_000, 1_000_000, 4_000_000, 36_000_000)
PLANTED = 100
PLANTED_SECONDS = 300
FLIPPED = 0.12


def share_of_packing(folder: Path, repeats: int = 5) -> dict[str, list[float]]:
    """CPU seconds of packing 1080p H.264 and of its fingerprints, of every repeat."""
    video = next(made(folder / "cost"))
    storage = open_storage(_packed(folder / "cost", "shards", [video]))
    (shard,) = Manifest.load(storage).shards
    frames = folder / "cost" / "frames"
    packing = []
    prints = []
    for _ in range(repeats + 1):
        with emptied(frames):
            cost = cost_of(lambda: ours(video, 1, frames, 1), frames)
        packing.append(cost.cpu_seconds)
        prints.append(_cpu(lambda: fingerprint_video(storage, Placed(shard, shard.videos[0]), 1.0)))

    # The first round warmed up
    packing = packing[1:]
    prints = prints[1:]
    shares = [of / whole for of, whole in zip(prints, packing, strict=True)]
    return {
        "packing_cpu_seconds": packing,
        "prints_cpu_seconds": prints,
        "share": [statistics.median(shares)],
    }


def matching(size: int) -> dict[str, float]:
    """Match made-up videos of an hour, as alike as those of the synthetic corpus, with some copies among them."""
    keyed = np.random.default_rng(size)
    coins = projection(keyed)
    videos = [made_up(keyed, coins) for _ in range(math.ceil(size / 3600))]
    first_copy = len(videos)
    for video in videos[:PLANTED]:
        # A copy, some of whose bits are flipped as coding again flips them
        is_flipped = keyed.random((PLANTED_SECONDS, 32 * WORDS)) < FLIPPED
        flips = np.packbits(is_flipped, axis=1).view(np.uint32)
        videos.append(video[600 : 600 + PLANTED_SECONDS] ^ flips)

    num_copies = len(videos) - first_copy
    library = Library(videos)
    started = time.perf_counter()
    bands = bands_of(len(library.bits))
    matches = list(find_matches([library], bands, train=len(library.starts) - 1))
    seconds = time.perf_counter() - started

    found = {match.first for match in matches if match.second - first_copy == match.first}
    return {
        "hours": size / 3600,
        "seconds": seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "copies": num_copies,
        "found": len(found),
        "false_alarms": sum(match.second - first_copy != match.first for match in matches),
    }


def projection(keyed: np.random.Generator) -> Coins:
    """What turns motion into the bits of a fingerprint, (D, bits)."""
    return keyed.standard_normal((30, 32 * WORDS), np.float32)


def made_up(keyed: np.random.Generator, coins: Coins) -> Bits:
    """Fingerprints of an hour of motion that goes on for some seconds, (3600, WORDS)."""
    motion = keyed.standard_normal((3600, len(coins)), np.float32)
    for second in range(1, len(motion)):
        motion[second] += np.float32(0.8) * motion[second - 1]
    return np.packbits(motion @ coins > 0, axis=1).view(np.uint32)


def _cpu(run: Callable[[], object]) -> float:
    before = cpu_seconds()
    run()
    return cpu_seconds() - before


def _packed(folder: Path, name: str, videos: Sequence[Path], options: Sequence[str] = ()) -> str:
    """Pack videos as one dataset, and return the address."""
    corpus = folder / f"{name}.yaml"
    files = [str(video.resolve()) for video in videos]
    dataset = {"name": name, "specialty": "made", "procedure": "made", "videos": files}
    corpus.write_text(yaml.safe_dump({"datasets": [dataset]}))
    out = str(folder / "packed" / name)
    assert surgstream(["pack", str(corpus), out, *options]) == 0
    return out
