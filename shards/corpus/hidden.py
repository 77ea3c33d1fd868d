"""Whether the videos of a packed corpus have pseudonyms, without opening any."""

from surgstream.shards.errors import ShardError
from surgstream.shards.format.checksummed import load_checksummed
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import PLAN_NAME
from surgstream.shards.storage.stores import Storage


def has_pseudonyms(storage: Storage, manifest: Manifest) -> bool:
    """Whether the ids of videos are pseudonyms, or may be: by the plan of the corpus, or else by the names of files.

    Without a plan they may be where an id is all that the name of a file is, as of a folder of images.

    Args:
        storage: Where the corpus lies.
        manifest: Its manifest, or the part of it that is asked about.
    """
    hidden = _hidden_in_plan(storage)
    for shard in manifest.shards:
        for video in shard.videos:
            may_be = video.source == video.id
            if may_be and (hidden is None or (shard.dataset, video.id) in hidden):
                return True
    return False


def _hidden_in_plan(storage: Storage) -> set[tuple[str, str]] | None:
    """Dataset and id of the videos whose files must not be named; None where no plan tells."""
    where = f"{storage.uri}: {PLAN_NAME}"
    try:
        if storage.size(PLAN_NAME) is None:
            return None
        tree = load_checksummed(storage.read(PLAN_NAME), where=where)
        return {
            (shard["dataset"], video["id"])
            for shard in tree["shards"]
            for video in shard["videos"]
            if video["hidden"]
        }
    except (ShardError, LookupError, TypeError):
        return None
