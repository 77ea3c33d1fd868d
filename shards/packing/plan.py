"""The plan of a corpus: which videos go into which shard, fixed before anything is packed.

Packers only execute a plan, so any number of them work side by side without talking. A later plan keeps the shards of
an earlier one: a changed video stays where it is, one that is gone leaves its shard, new ones open new shards.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.shards.corpus.file import CorpusConfig, DatasetConfig, PackConfig, stored_options
from surgstream.shards.corpus.sources import Source
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import dump_checksummed, load_checksummed
from surgstream.shards.format.manifest import packed_shards
from surgstream.shards.format.names import PLAN_NAME, shard_name, shard_number
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.packing.plan_records import PlannedShard, PlannedVideo
from surgstream.shards.packing.probe import probe_source
from surgstream.shards.storage.stores import Storage, Stores
from surgstream.shards.video.sources import Film

PROBES_IN_FLIGHT = 16


@dataclass(frozen=True, kw_only=True)
class PackingPlan:
    """A plan.

    Attributes:
        options: Options as `plan_options` gives them.
        shards: The shards, sorted by name.
        quarantine: Videos that cannot be opened at all.
    """

    options: PackConfig
    shards: tuple[PlannedShard, ...]
    quarantine: tuple[Quarantined, ...]

    def videos(self) -> Iterator[tuple[PlannedShard, PlannedVideo]]:
        """Iterate over all videos, each with its shard."""
        for shard in self.shards:
            for video in shard.videos:
                yield shard, video

    @property
    def has_pseudonyms(self) -> bool:
        """Whether the ids of its videos are pseudonyms."""
        return any(video.hidden for _, video in self.videos())

    def fingerprints(self) -> list[str]:
        """Compute the fingerprints of the shards, in order."""
        return [shard.fingerprint(self.options) for shard in self.shards]

    def difference(self, later: "PackingPlan", dataset: str) -> str:
        """Say why shards of a dataset, packed by this plan, do not fit a later one; empty if nothing is known."""
        was = to_tree(self.options)
        now = to_tree(later.options)
        reasons = [
            f"{name} was {was[name]} and is {now[name]}" for name in was if was[name] != now[name]
        ]
        if reasons:
            return ", ".join(reasons)

        before = self._versions(dataset)
        after = later._versions(dataset)
        lost = sorted(before.keys() - after.keys())
        changed = sorted(id for id in before.keys() & after.keys() if before[id] != after[id])
        if lost:
            reasons.append(f"{len(lost)} of its videos no longer packed, such as {lost[0]}")
        if changed:
            reasons.append(f"{len(changed)} of its videos changed, such as {changed[0]}")
        return ", ".join(reasons)

    def _versions(self, dataset: str) -> dict[str, tuple[str, ...]]:
        return {
            video.id: (video.source, video.version, str(video.review), *sorted(video.labels))
            for shard, video in self.videos()
            if shard.dataset == dataset
        }

    def save(self, storage: Storage) -> None:
        """Write the plan into its corpus."""
        shards = []
        for shard in self.shards:
            videos = tuple(video.written() for video in shard.videos)
            shards.append(replace(shard, videos=videos).stored())

        options = stored_options(self.options)
        tree = {"options": options, "shards": shards, "quarantine": to_tree(self.quarantine)}
        write_if_other(storage, PLAN_NAME, dump_checksummed(tree))

    @staticmethod
    def load(storage: Storage) -> "PackingPlan | None":
        """Read the plan of a corpus; None where there is none.

        Raises:
            ManifestError: It is damaged, or of another version of this program.
        """
        if storage.size(PLAN_NAME) is None:
            return None

        where = f"{storage.uri}: {PLAN_NAME}"
        try:
            return PackingPlan.parse(storage.read(PLAN_NAME), where=where)
        except (ManifestError, ConfigError):
            raise ManifestError(
                f"{where}: expected the plan of a corpus, got something else or a damaged one; put "
                "a copy of it back, or pack into another folder"
            ) from None

    @staticmethod
    def parse(data: bytes, *, where: str) -> "PackingPlan":
        """Read the bytes of a plan.

        Args:
            data: The whole file.
            where: The file's name in messages.

        Raises:
            ManifestError: The bytes are damaged.
            ConfigError: They are those of something else.
        """
        tree = load_checksummed(data, where=where)
        options = tree.get("options")
        if isinstance(options, dict):
            tree["options"] = PackConfig.renamed.translate(options)
        return build(PackingPlan, tree, where=where)


def earlier_plan(corpus: CorpusConfig, storage: Storage) -> PackingPlan | None:
    """Load the plan that the shards in a store were packed by; None where there are none yet.

    Packing removes the shards that its plan does not have, so a wrong folder must not cost a corpus.

    Raises:
        ConfigError: The shards are of another corpus, of another split, or of an unknown plan.
        ManifestError: The plan is damaged.
        StorageError: The store fails.
    """
    present = packed_shards(storage)
    datasets = {name.partition("/")[0] for name in present}
    foreign = sorted(datasets - {dataset.name for dataset in corpus.datasets})
    if foreign:
        raise ConfigError(
            f"{storage.uri}: holds shards of dataset {foreign[0]!r}, which the corpus file does "
            f"not have; pack into another folder, or remove {foreign[0]} there first"
        )

    previous = PackingPlan.load(storage)
    if previous is None and present:
        raise ConfigError(
            f"{storage.uri}: holds shards, such as {min(present)}, without the {PLAN_NAME} that "
            "they were packed by; pack into another folder, or remove them first"
        )
    if previous is not None and previous.options.split != corpus.pack.split:
        raise ConfigError(
            f"{storage.uri}: holds the {previous.options.split!r} split, not "
            f"{corpus.pack.split!r}; pack into another folder"
        )

    return previous


def planned_films(storage: Storage) -> dict[tuple[str, str], Film]:
    """Find the sources of a corpus's videos, not yet opened.

    Returns:
        The sources by dataset and id; empty where the corpus has no plan, without those that pseudonyms hide.

    Raises:
        ManifestError: The plan is damaged.
        StorageError: The store fails.
    """
    plan = PackingPlan.load(storage)
    if plan is None:
        return {}

    stores = Stores()
    return {
        (shard.dataset, video.id): shard.film(video, stores)
        for shard, video in plan.videos()
        if not video.hidden
    }


def make_plan(
    corpus: CorpusConfig, sources: Sequence[Source], previous: PackingPlan | None
) -> PackingPlan:
    """Probe the sources and give every video its shard.

    Args:
        corpus: The corpus file.
        sources: Its videos.
        previous: The plan that it was packed by before; videos stay in its shards.

    Returns:
        The plan, not yet saved.

    Raises:
        StorageError: A store fails.
    """
    stores = Stores()
    options = plan_options(corpus)
    # Other options pack every shard again, so videos need not stay where they are.
    if previous is not None and previous.options != options:
        previous = None
    known: dict[tuple[str, str], PlannedVideo] = {}
    if previous is not None:
        known = {(shard.dataset, video.id): video for shard, video in previous.videos()}

    def probe(source: Source) -> PlannedVideo | Quarantined:
        return probe_source(source, options, known.get((source.dataset, source.id)), stores)

    with ThreadPoolExecutor(PROBES_IN_FLIGHT) as pool:
        probed = list(zip(sources, pool.map(probe, sources), strict=True))

    shards: list[PlannedShard] = []
    kept = () if previous is None else previous.shards
    for dataset in corpus.datasets:
        videos = [video for source, video in probed if source.dataset == dataset.name]
        good = {video.id: video for video in videos if isinstance(video, PlannedVideo)}
        earlier = [shard for shard in kept if shard.dataset == dataset.name]
        shards += _assign(dataset, good, earlier, options)

    quarantine = tuple(video for _, video in probed if isinstance(video, Quarantined))
    return PackingPlan(
        options=options,
        shards=tuple(sorted(shards, key=lambda shard: shard.name)),
        quarantine=quarantine,
    )


def plan_options(corpus: CorpusConfig) -> PackConfig:
    """Give the options of a corpus file that a plan keeps: all but `workers`, which changes no byte."""
    return replace(corpus.pack, workers=None)


def write_if_other(storage: Storage, name: str, data: bytes) -> None:
    """Write a small file unless it already says the same."""
    if not says(storage, name, data):
        storage.write(name, data)


def says(storage: Storage, name: str, data: bytes) -> bool:
    """Whether a small file has this content."""
    return storage.size(name) == len(data) and storage.read(name) == data


def _assign(
    dataset: DatasetConfig,
    videos: dict[str, PlannedVideo],
    earlier: Iterable[PlannedShard],
    options: PackConfig,
) -> Iterator[PlannedShard]:
    """Keep the videos of earlier shards where they are, and fill new shards with the others in order."""
    members: dict[str, list[PlannedVideo]] = {}
    old = set()
    next_number = 0
    # Sorted by name, so the last one has the highest number.
    for shard in earlier:
        ids = [video.id for video in shard.videos if video.id in videos]
        members[shard.name] = [videos[id] for id in ids]
        old.update(ids)
        next_number = shard_number(shard.name) + 1

    # Bytes left in the shard being filled; none at first, since earlier shards gain no videos.
    room = 0
    name = ""
    for video in videos.values():
        if video.id in old:
            continue
        if video.predicted_bytes > room:
            name = shard_name(dataset.name, next_number)
            members[name] = []
            next_number += 1
            room = options.shard_bytes
        members[name].append(video)
        room -= video.predicted_bytes

    min_seconds = options.min_seconds if dataset.min_seconds is None else dataset.min_seconds
    for name, planned in members.items():
        if planned:
            yield PlannedShard(
                name=name,
                dataset=dataset.name,
                specialty=dataset.specialty,
                procedure=dataset.procedure,
                licence=dataset.licence,
                image_fps=dataset.image_fps,
                images=dataset.images,
                stills=dataset.stills,
                min_seconds=min_seconds,
                videos=tuple(planned),
            )
