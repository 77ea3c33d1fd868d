"""Complete listings of buckets, even from stores that cut them off and do not say how to continue."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from surgstream.shards.errors import StorageError

Page = Mapping[str, Any]

Place = dict[str, str]
"""The start of a page, as arguments of a request; empty for the first page."""


class Client(Protocol):
    """Sends requests about one bucket; see `shards.storage.s3_client`."""

    bucket: str

    def call(self, operation: str, **arguments: Any) -> Page:
        """Run one of boto3's operations."""


def objects(client: Client, prefix: str) -> Iterator[Page]:
    """All objects below a prefix.

    A store that gives no token to continue with knows only version 1 of the request: there a page starts after a name.

    Raises:
        StorageError: The store cuts the listing off.
    """

    def ask(place: Place) -> Page:
        operation = "list_objects" if "Marker" in place else "list_objects_v2"
        return client.call(operation, Prefix=prefix, **place)

    def following(page: Page) -> Place:
        if token := page.get("NextContinuationToken"):
            return {"ContinuationToken": token}
        return {"Marker": page.get("NextMarker") or _last(page, "Contents").get("Key", "")}

    return _entries(
        f"s3://{client.bucket}/{prefix}", "Contents", ask, following, lambda entry: entry["Key"]
    )


def uploads(client: Client, prefix: str) -> Iterator[Page]:
    """All unfinished uploads below a prefix; raises as `objects` does."""

    def ask(place: Place) -> Page:
        return client.call("list_multipart_uploads", Prefix=prefix, **place)

    def following(page: Page) -> Place:
        last = _last(page, "Uploads")
        return {
            "KeyMarker": page.get("NextKeyMarker") or last.get("Key", ""),
            "UploadIdMarker": page.get("NextUploadIdMarker") or last.get("UploadId", ""),
        }

    return _entries(
        f"s3://{client.bucket}/{prefix}",
        "Uploads",
        ask,
        following,
        lambda entry: (entry["Key"], entry["UploadId"]),
    )


def _entries(
    where: str,
    kind: str,
    ask: Callable[[Place], Page],
    following: Callable[[Page], Place],
    identity: Callable[[Page], Hashable],
) -> Iterator[Page]:
    """The entries of all pages. Each page must bring a new entry or, if it is empty, a new place to continue at."""
    place: Place = {}
    known = set[Hashable]()
    while True:
        page = ask(place)
        entries: Sequence[Page] = page.get(kind, ())
        yield from entries
        if not page.get("IsTruncated"):
            return

        place = following(page)
        marks = {identity(entry) for entry in entries} or {tuple(place.items())}
        if marks <= known:
            raise StorageError(
                f"{where}: expected the rest of a listing that the store has cut off, "
                f"got the same again after {len(known)} entries; "
                "name files without globs, or reach the store by another gateway"
            )
        known |= marks


def _last(page: Page, kind: str) -> Page:
    entries: Sequence[Page] = page.get(kind) or ({},)
    return entries[-1]
