"""Objects sent to S3 in parts, and compared with what arrived."""

import base64
import hashlib
import logging
import re
from collections.abc import Mapping
from typing import Any

from surgstream.shards.errors import StorageError
from surgstream.shards.storage.s3_client import S3Client
from surgstream.shards.storage.s3_failures import FAILURES, knows_no_upload
from surgstream.shards.storage.s3_ranges import RangeFetcher

log = logging.getLogger(__name__)

PART_BYTES = 16 * 2**20
"""Size of an uploaded part: S3 takes at most 10,000 of them an object, so 160 GB a shard."""

_OF_MD5 = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")
_ENCRYPTED = {"SSEKMSKeyId", "SSECustomerAlgorithm"}
"""Fields of a store's answer about objects whose ETags are those of encrypted bytes."""

_OTHER_ETAGS = set[str]()
"""Buckets whose ETags only look like MD5s, as this process has found out."""


class Upload:
    """A multipart upload fed by writes, which holds one part at most; a content shorter than that is one request.

    The store checks each part by its MD5. Then the length and the ETag of the whole are compared, the ETag only where
    it is made of MD5s. One that looks like it is taken for it, unless an object whose ETag differs is read back and
    turns out to be sound.
    """

    def __init__(self, client: S3Client, fetcher: RangeFetcher, key: str) -> None:
        """Nothing is sent yet.

        Args:
            client: The client of the bucket.
            fetcher: Reads from the bucket.
            key: The key of the object.
        """
        self._client = client
        self._fetcher = fetcher
        self._key = key
        self._pending = bytearray()
        self._upload_id: str | None = None
        self._etags = list[str]()
        self._digests = list[bytes]()
        self._num_bytes = 0

    def write(self, data: bytes | memoryview, /) -> int:
        """See `Sink.write`."""
        self._pending += data
        while len(self._pending) >= PART_BYTES:
            self._send_part(bytes(self._pending[:PART_BYTES]))
            del self._pending[:PART_BYTES]
        return len(data)

    def complete(self) -> None:
        """Make what was written an object.

        Raises:
            StorageError: The object differs from what was written; it is removed.
        """
        if self._upload_id is None:
            body = bytes(self._pending)
            self._client.call("put_object", Key=self._key, Body=body, ContentMD5=self._noted(body))
            self._compare(self._digests[0].hex())
            return

        if self._pending:
            self._send_part(bytes(self._pending))
        parts = [
            {"PartNumber": number, "ETag": etag} for number, etag in enumerate(self._etags, start=1)
        ]
        # The ETag of an object in parts: the MD5 of their MD5s, and the number of parts.
        of_digests = _digest(b"".join(self._digests)).hexdigest()
        tag = f"{of_digests}-{len(parts)}"
        try:
            self._about_upload("complete_multipart_upload", MultipartUpload={"Parts": parts})
        except FAILURES as error:
            if not knows_no_upload(error) or not self._is_there(tag):
                raise

        # From here on there is no upload to abort.
        self._upload_id = None
        self._compare(tag)

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._upload_id is not None:
            self._about_upload("abort_multipart_upload")

    def _send_part(self, body: bytes) -> None:
        if self._upload_id is None:
            created = self._client.call("create_multipart_upload", Key=self._key)
            self._upload_id = created["UploadId"]
        number = len(self._etags) + 1
        answer = self._about_upload(
            "upload_part", PartNumber=number, Body=body, ContentMD5=self._noted(body)
        )
        self._etags.append(answer["ETag"])

    def _noted(self, body: bytes) -> str:
        """Remember the MD5 of a body; returns it for the Content-MD5 header."""
        digest = _digest(body).digest()
        self._digests.append(digest)
        self._num_bytes += len(body)
        return base64.b64encode(digest).decode()

    def _about_upload(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        return self._client.call(operation, Key=self._key, UploadId=self._upload_id, **arguments)

    def _is_there(self, tag: str) -> bool:
        """Whether the object exists after all: an earlier try may have made it, and its answer been lost."""
        try:
            head = self._client.call("head_object", Key=self._key)
        except FAILURES:
            return False
        etag = head.get("ETag", "").strip('"')
        return bool(head["ContentLength"] == self._num_bytes and etag == tag)

    def _compare(self, tag: str) -> None:
        """Compare the object in the store with what was sent, whose ETag is `tag` where ETags are made of MD5s."""
        head = self._client.call("head_object", Key=self._key)
        stored = head.get("ETag", "").strip('"')
        length = head["ContentLength"]
        has_length = length == self._num_bytes
        if has_length and (stored == tag or not self._is_of_md5(head, stored)):
            return
        # Read back only where lengths agree and ETags do not.
        if has_length and self._lies_there():
            return

        self._client.call("delete_object", Key=self._key)
        raise StorageError(
            f"{self._key}: expected {self._num_bytes} bytes with the ETag {tag} in the store, "
            f"got {length} with {stored}: they were damaged on the way, and are removed; run again"
        )

    def _is_of_md5(self, head: Mapping[str, Any], etag: str) -> bool:
        looks_so = _OF_MD5.fullmatch(etag) is not None and not _ENCRYPTED & head.keys()
        return looks_so and self._client.place not in _OTHER_ETAGS

    def _lies_there(self) -> bool:
        """Read the object back; returns whether it is what was sent, after which ETags are not compared again."""
        self._fetcher.forget(self._key)
        # One buffer for all parts; the last part may be shorter.
        part = memoryview(bytearray(min(PART_BYTES, self._num_bytes)))
        for number, digest in enumerate(self._digests):
            start = number * PART_BYTES
            piece = part[: self._num_bytes - start]
            self._fetcher.read_into(self._key, start, piece)
            if _digest(piece).digest() != digest:
                return False

        _OTHER_ETAGS.add(self._client.place)
        log.warning(
            "%s: its ETags look like MD5s and are none, since %s is what was sent, read back; "
            "from now on lengths are compared, and the MD5s that the store itself checks",
            self._client.place,
            self._key,
        )
        return True


def md5(data: bytes) -> str:
    """Base64 of a body's MD5, for the Content-MD5 header."""
    return base64.b64encode(_digest(data).digest()).decode()


def _digest(data: bytes | memoryview) -> Any:
    return hashlib.md5(data, usedforsecurity=False)
