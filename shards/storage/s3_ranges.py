"""Ranges of S3 objects, read from stores that throttle, break off, time out and restart."""

import threading
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ResponseStreamingError

from surgstream.shards.storage.base import is_weak, opaque
from surgstream.shards.storage.retry import Retries, RetryConfig
from surgstream.shards.storage.s3_client import S3Client
from surgstream.shards.storage.s3_failures import FAILURES, UnusableAnswerError

_READ_BYTES = 2**20


class RangeFetcher:
    """Reads ranges; safe to use from many threads.

    The first answer about an object fixes its ETag; later reads accept no other one, so the replacement of an object
    that is being read is noticed. A body that breaks off is resumed at its last good byte.
    """

    def __init__(self, client: S3Client, uri: str, retry: RetryConfig) -> None:
        """Connect lazily.

        Args:
            client: The client of the bucket.
            uri: The store, for messages.
            retry: Delays and the timeout.
        """
        self._client = client
        self._uri = uri
        self._retry = retry
        self._etags: dict[str, str] = {}

    def read_into(
        self, key: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        """Fill `out` with the object's bytes from `start` on; setting `stop` ends the waiting for a store that fails.

        Raises:
            StorageError: The object is missing, too short or no longer the same, access is denied, or the store has
                failed for too long; with the range, and the history of tries.
        """
        stop_byte = start + len(out)
        what = (
            f"{self._uri}: reading bytes {start} to {stop_byte} "
            f"of bucket {self._client.bucket}, key {key}"
        )
        retries = Retries(what, self._retry, causes=self._client.causes, stop=stop)
        at = 0
        while at < len(out):
            try:
                for count in self._pieces(key, start + at, out[at:]):
                    at += count
                    retries.progressed()
            except FAILURES as error:
                retries.failed(self._client.explain(error))

    def forget(self, key: str) -> None:
        """Accept an object as it is next time, even if it was replaced."""
        self._etags.pop(key, None)

    def _pieces(self, key: str, start: int, out: memoryview) -> Iterator[int]:
        """Send one request and fill `out` with its body; yields the size of every piece as it arrives."""
        etag = self._etags.get(key)
        condition = {"IfMatch": etag} if etag and not is_weak(etag) else {}
        # The last byte is part of an HTTP range.
        reach = f"bytes={start}-{start + len(out) - 1}"
        answer = self._client.call("get_object", hasty=True, Key=key, Range=reach, **condition)

        body = answer["Body"]
        try:
            self._check(answer, key, start, len(out))
            at = 0
            while at < len(out):
                count = body.readinto(out[at : at + _READ_BYTES])
                if not count:
                    raise ResponseStreamingError(
                        error=f"the body ended after {at} of {len(out)} bytes"
                    )
                at += count
                yield count
        finally:
            body.close()

    def _check(self, answer: Any, key: str, start: int, count: int) -> None:
        if answer["ContentLength"] != count:
            total = str(answer.get("ContentRange", "")).rpartition("/")[2]
            if total.isdigit() and int(total) < start + count:
                raise UnusableAnswerError(f"it ends at byte {total}: it is cut short")
            raise UnusableAnswerError(
                f"expected {count} bytes, got {answer['ContentLength']}: "
                "the store does not serve ranges"
            )

        etag = answer.get("ETag") or ""
        if etag and opaque(self._etags.setdefault(key, etag)) != opaque(etag):
            raise UnusableAnswerError(
                "it was replaced while the run read it (its ETag changed): "
                "this is another corpus now"
            )
