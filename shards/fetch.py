"""Ranges of S3 objects, read from stores that throttle, break off, time out and restart."""

import email.utils
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from urllib3.exceptions import HTTPError

from shards.retry import Failure, Retries, RetryConfig
from shards.storage_base import without_secrets

_READ_BYTES = 2**20
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}


class RangeFetcher:
    """Reads ranges; safe to use from many threads.

    The first answer about an object fixes its ETag; later reads accept no other, so an object that is replaced while it
    is read is noticed. A body that breaks off is resumed at its last good byte.

    Attributes:
        causes: How often reads failed and were tried again, by cause.
        requests: How many requests were sent.
    """

    def __init__(self, client: Any, new_client: Callable[[], Any], uri: str, retry: RetryConfig) -> None:
        """Connect lazily.

        Args:
            client: A boto3 client that does not retry by itself.
            new_client: Makes another one, with credentials looked up anew.
            uri: The store, for messages.
            retry: When to give up.
        """
        self._new_client, self._uri, self._retry = new_client, uri, retry
        self._client = client
        self._lock = threading.Lock()
        self._etags: dict[str, str] = {}
        self.causes: Counter[str] = Counter()
        self.requests = 0

    def read_into(self, bucket: str, key: str, start: int, out: memoryview, stop: threading.Event) -> None:
        """Fill `out` with the object's bytes from `start` on.

        Raises:
            StorageError: The object is missing, too short or no longer the same, access is denied, or the store has
                failed for too long; with the range, and the history of tries.
        """
        what = f"{self._uri}: reading bytes {start} to {start + len(out)} of bucket {bucket}, key {key}"
        retries = Retries(what, self._retry, causes=self.causes, stop=stop)
        at = 0
        while at < len(out):
            client = self._client
            try:
                for count in self._pieces(client, bucket, key, start + at, out[at:]):
                    at += count
                    retries.progressed()
            except (BotoCoreError, ClientError, HTTPError, OSError, _Unusable) as error:
                failure = classify(error)
                if failure.cause == "expired":
                    self._renew(client)
                retries.failed(failure)

    def _pieces(self, client: Any, bucket: str, key: str, start: int, out: memoryview) -> Any:
        """Send one request and fill `out` with its body; yields the size of every piece as it arrives."""
        etag = self._etags.get(key)
        condition = {"IfMatch": etag} if etag else {}
        self.requests += 1
        answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + len(out) - 1}", **condition)
        body = answer["Body"]
        try:
            self._check(answer, key, start, len(out))
            at = 0
            while at < len(out):
                count = body.readinto(out[at : at + _READ_BYTES])
                if not count:
                    raise ResponseStreamingError(error=f"the body ended after {at} of {len(out)} bytes")
                at += count
                yield count
        finally:
            body.close()

    def _check(self, answer: Any, key: str, start: int, count: int) -> None:
        if answer["ContentLength"] != count:
            total = str(answer.get("ContentRange", "")).rpartition("/")[2]
            if total.isdigit() and int(total) < start + count:
                raise _Unusable(f"it ends at byte {total}: it is cut short")
            raise _Unusable(f"expected {count} bytes, got {answer['ContentLength']}: the store does not serve ranges")
        etag = answer.get("ETag") or ""
        if etag and self._etags.setdefault(key, etag) != etag:
            raise _Unusable("it was replaced while the run read it (its ETag changed): this is another corpus now")

    def _renew(self, stale: Any) -> None:
        with self._lock:
            if self._client is stale:
                self._client = self._new_client()


class _Unusable(Exception):
    """An answer that no other try would better."""


def classify(error: Exception) -> Failure:
    """Say why a request failed, and whether to try again."""
    if isinstance(error, ClientError):
        return _refused(error)
    if isinstance(error, _Unusable):
        return Failure("unusable", str(error), fatal=True)
    if isinstance(error, NoCredentialsError):
        return Failure("credentials", str(error), fatal=True)
    if isinstance(error, CredentialRetrievalError):
        return Failure("credentials", _short(error))
    if isinstance(error, (ReadTimeoutError, TimeoutError)):
        return Failure("timeout", _short(error))
    if isinstance(error, (ResponseStreamingError, IncompleteReadError, HTTPError)):
        return Failure("broken_body", _short(error))
    if isinstance(error, (BotoConnectionError, HTTPClientError, OSError)):
        return Failure("timeout" if "timeout" in type(error).__name__.lower() else "connection", _short(error))
    return Failure("client", _short(error), fatal=True)


def _refused(error: ClientError) -> Failure:
    response = error.response
    meta = response.get("ResponseMetadata", {})
    status, headers = int(meta.get("HTTPStatusCode", 0)), meta.get("HTTPHeaders", {})
    code = str(response.get("Error", {}).get("Code", ""))
    request_id = meta.get("RequestId") or headers.get("x-amz-request-id", "unknown")
    said = " ".join(dict.fromkeys((str(status), code)))  # the answer to HEAD has no code but the status
    detail = f"HTTP {said}, request id {request_id}"
    if code in _EXPIRED:
        return Failure("expired", detail)
    if status == 429 or code in _THROTTLED:
        return Failure("throttled", detail, retry_after(headers.get("retry-after")))
    if status >= 500:
        return Failure("server", detail, retry_after(headers.get("retry-after")))
    if code == "RequestTimeout":
        return Failure("timeout", detail)
    meanings = {
        403: "access is denied; check the credentials and their rights",
        404: "it is missing",
        412: "it was replaced while the run read it (its ETag changed): this is another corpus now",
        416: "it ends before the bytes asked for: it is cut short",
    }
    return Failure("refused", f"{meanings.get(status, 'the store refuses')} ({detail})", fatal=True)


def retry_after(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that a Retry-After header asks to wait: a number, or a date; None when it is neither."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now())
    except (TypeError, ValueError):
        return None


def _short(error: Exception) -> str:
    return without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))[:200]
