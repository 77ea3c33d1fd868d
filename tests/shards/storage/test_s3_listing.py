"""Listings that come in pages, from stores that do not all say how to go on."""

import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.errors import StorageError
from surgstream.shards.storage.s3_listing import objects, uploads
from surgstream.shards.storage.stores import Storage, open_storage

KEYS = st.sets(st.text("ab/é😀", min_size=1, max_size=4), max_size=12)


class Client:
    """A store of some keys with an upload of each, whose pages have `size` entries, be they cut off how they may."""

    def __init__(self, keys: set[str], size: int, *, tells: bool, knows_version_2: bool) -> None:
        self._keys, self._size = sorted(keys, key=str.encode), size
        self._tells, self._knows_version_2 = tells, knows_version_2
        self.bucket = "b"

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        page: dict[str, Any] = getattr(self, operation)(**arguments)
        return page

    def list_objects_v2(self, *, Prefix: str, ContinuationToken: str = "") -> dict[str, Any]:
        after = ContinuationToken.removeprefix("token of ")
        page = self._page("Contents", self._keys, after if self._knows_version_2 else "")
        if page["IsTruncated"] and self._tells and self._knows_version_2:
            page["NextContinuationToken"] = f"token of {page['Contents'][-1]['Key']}"
        return page

    def list_objects(self, *, Prefix: str, Marker: str) -> dict[str, Any]:
        return self._page("Contents", self._keys, Marker)

    def list_multipart_uploads(
        self, *, Prefix: str, KeyMarker: str = "", UploadIdMarker: str = ""
    ) -> dict[str, Any]:
        page = self._page("Uploads", self._keys, KeyMarker)
        if page["IsTruncated"] and self._tells:
            page |= {"NextKeyMarker": page["Uploads"][-1]["Key"], "NextUploadIdMarker": "id"}
        return page

    def _page(self, kind: str, keys: list[str], after: str) -> dict[str, Any]:
        left = [key for key in keys if key.encode() > after.encode()]
        entries = [{"Key": key, "UploadId": f"of {key}"} for key in left[: self._size]]
        return {"IsTruncated": len(left) > self._size, **({kind: entries} if entries else {})}


@given(KEYS, st.integers(1, 5), st.booleans(), st.booleans())
@settings(derandomize=True, deadline=None)
def test_a_listing_is_whole(keys: set[str], size: int, tells: bool, knows_version_2: bool) -> None:
    client = Client(keys, size, tells=tells, knows_version_2=knows_version_2)
    for listing in (objects, uploads):
        assert [entry["Key"] for entry in listing(client, "")] == sorted(keys, key=str.encode)


class Repeating(Client):
    """One that gives its first page for ever."""

    def _page(self, kind: str, keys: list[str], after: str) -> dict[str, Any]:
        return super()._page(kind, keys, "")


class Empty(Client):
    """One that says that there is more, and has nothing."""

    def _page(self, kind: str, keys: list[str], after: str) -> dict[str, Any]:
        return {"IsTruncated": True, kind: []}


@pytest.mark.parametrize("kind", [Repeating, Empty])
@pytest.mark.parametrize("listing", [objects, uploads])
@pytest.mark.parametrize("tells", [False, True])
def test_a_store_that_does_not_go_on_is_an_error(
    kind: type[Client], listing: Any, tells: bool
) -> None:
    client = kind({"a", "b", "c"}, 2, tells=tells and kind is Repeating, knows_version_2=True)
    with pytest.raises(
        StorageError, match=r"s3://b/p: expected the rest of a listing .* got the same again"
    ):
        list(listing(client, "p"))


def test_pages_may_be_empty_as_long_as_there_is_more_behind_them() -> None:
    pages = iter(
        [
            {"IsTruncated": True, "NextContinuationToken": "1"},
            {"IsTruncated": True, "NextContinuationToken": "2"},
            {"IsTruncated": False, "Contents": [{"Key": "a"}]},
        ]
    )

    class Sparse:
        bucket = "b"

        def call(self, operation: str, **_: str) -> dict[str, Any]:
            return next(pages)

    assert [entry["Key"] for entry in objects(Sparse(), "")] == ["a"]


NAMES = [f"{number}&é.mp4" for number in range(8)]


@contextmanager
def old_store(*, goes_on: bool) -> Iterator[str]:
    """A server that knows version 1 of the request alone, gives three objects a page, and no marker for the next."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            left = [
                name
                for name in NAMES
                if not goes_on or name > query.get("marker", "").removeprefix("in/")
            ]
            entries = "".join(
                f"<Contents><Key>in/{escape(n)}</Key><Size>7</Size></Contents>" for n in left[:3]
            )
            more = str(len(left) > 3).lower()
            body = f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{entries}</ListBucketResult>".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def anybody(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return monkeypatch


def reached_at(endpoint: str, anybody: pytest.MonkeyPatch) -> Storage:
    anybody.setenv("AWS_ENDPOINT_URL", endpoint)
    return open_storage("s3://bucket/in")


@pytest.mark.slow
def test_an_old_store_is_listed_to_its_end(anybody: pytest.MonkeyPatch) -> None:
    with old_store(goes_on=True) as endpoint:
        assert reached_at(endpoint, anybody).sizes() == dict.fromkeys(NAMES, 7)
        assert len(list(reached_at(endpoint, anybody).tree().items())) == 8


def test_an_old_store_that_repeats_itself_is_an_error(anybody: pytest.MonkeyPatch) -> None:
    with (
        old_store(goes_on=False) as endpoint,
        pytest.raises(StorageError, match="s3://bucket/in/: expected the rest"),
    ):
        reached_at(endpoint, anybody).sizes()
