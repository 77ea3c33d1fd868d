"""`surgstream leaks`: find what a packed corpus shows twice, and what it shows of held-out videos."""

import argparse
import sys
from collections.abc import Iterable

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import LeakError
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import PLAN_NAME
from surgstream.shards.leaks.comparing import compare
from surgstream.shards.leaks.findings import Compared, as_json, as_text, some_of
from surgstream.shards.leaks.looking import Sources
from surgstream.shards.packing.plan import PackingPlan
from surgstream.shards.storage.stores import open_storage
from surgstream.shards.workers import cores


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream leaks`.

    Raises:
        LeakError: --fail-on-leak was given, and a held-out video was found or could not be compared.
    """
    corpora = {uri: Manifest.load(open_storage(uri)) for uri in (words.train, *words.against)}
    sources = sources_of(corpora) if words.from_sources else {}
    compared = compare(corpora, workers=words.workers or cores(), sources=sources)
    sys.stdout.write(as_json(compared) if words.json else as_text(compared))
    sys.stdout.flush()

    if words.fail_on_leak:
        _fail_on_leak(words.train, compared)
    return 0


def _fail_on_leak(train: str, compared: Compared) -> None:
    held_out = [finding.first for finding in compared.findings if finding.kind == "held_out"]
    leaking = sorted({f"{side.dataset}/{side.video}" for side in held_out})
    if leaking:
        raise LeakError(
            f"{train}: expected nothing of what is held out, got stretches of it in {len(leaking)} "
            f"of its videos: {some_of(leaking)}; hold them out, and pack again"
        )

    lost = sorted(
        f"{video.dataset}/{video.video}" for video in compared.not_compared if video.corpus != train
    )
    if lost:
        raise LeakError(
            f"{train}: expected held-out videos that can be compared with it, got {len(lost)} that "
            f"are dark or of one colour: {some_of(lost)}; look at them, and pack them with "
            "drop=[black,uniform] or take them out"
        )


def sources_of(corpora: Iterable[str]) -> dict[str, Sources]:
    """Find the videos that corpora were packed from, by the plans that lie next to their shards.

    Args:
        corpora: Addresses; of several the first is that to train on.

    Raises:
        ConfigError: A corpus has no plan, or one of pseudonyms.
    """
    found: dict[str, Sources] = {}
    # One side will do: a copy is found if many frames of one of its two videos are compared.
    for uri in list(corpora)[1:] or list(corpora):
        plan = PackingPlan.load(open_storage(uri))
        if plan is None:
            raise ConfigError(
                f"--from-sources: {uri}: expected the {PLAN_NAME} that it was packed by, which is "
                "not there; name the folder that `surgstream pack` wrote to"
            )
        if plan.has_pseudonyms:
            raise ConfigError(
                f"--from-sources: {uri}: expected a plan that tells where its videos lie, got one "
                "of pseudonyms; pack them at 4 frames a second or more without --pseudonyms, into "
                "another folder, and compare that"
            )

        # Of a still image the shard has all there is, and of one among others only it knows which it is.
        found[uri] = {
            (shard.dataset, video.id): (video.location, shard.image_fps)
            for shard, video in plan.videos()
            if not shard.stills and shard.images == "*"
        }
    return found
