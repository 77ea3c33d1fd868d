"""Objects sent to S3 in parts, and compared with what arrived."""

import base64
import hashlib
import re
from typing import Any

from shards.errors import StorageError

PART_BYTES = 16 * 2**20
"""Size of an uploaded part: S3 takes at most 10,000 of them an object, so 160 GB a shard."""


_OF_MD5 = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")
_ENCRYPTED = {"SSEKMSKeyId", "SSECustomerAlgorithm"}
"""What a store says of objects whose ETags are of what it has encrypted."""


class Upload:
    """A multipart upload fed by writes, which holds one part at most; a content shorter than that is one request.

    The store checks each part by its MD5, and the whole is compared by what the store then says of it.
    """

    def __init__(self, client: Any, address: dict[str, str]) -> None:
        """Nothing is sent yet.

        Args:
            client: boto3's.
            address: Bucket and key.
        """
        self._client, self._address = client, address
        self._pending = bytearray()
        self._upload: dict[str, str] | None = None
        self._parts: list[dict[str, Any]] = []
        self._digests, self._num_bytes = b"", 0

    def write(self, data: bytes | memoryview, /) -> int:
        """See `Sink.write`."""
        self._pending += data
        while len(self._pending) >= PART_BYTES:
            self._send(bytes(self._pending[:PART_BYTES]))
            del self._pending[:PART_BYTES]
        return len(data)

    def complete(self) -> None:
        """Make what was written an object.

        Raises:
            StorageError: Something else lies in the store; it is removed.
        """
        if self._upload is None:
            body = bytes(self._pending)
            self._client.put_object(**self._address, Body=body, ContentMD5=md5(body))
            self._compare(len(body), _digest(body).hexdigest())
            return
        if self._pending:
            self._send(bytes(self._pending))
        self._client.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": self._parts})
        self._upload = None
        self._compare(self._num_bytes, f"{_digest(self._digests).hexdigest()}-{len(self._parts)}")

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._upload is not None:
            self._client.abort_multipart_upload(**self._upload)

    def _send(self, body: bytes) -> None:
        if self._upload is None:
            answer = self._client.create_multipart_upload(**self._address)
            self._upload = {**self._address, "UploadId": answer["UploadId"]}
        number = len(self._parts) + 1
        answer = self._client.upload_part(**self._upload, PartNumber=number, Body=body, ContentMD5=md5(body))
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._digests += _digest(body).digest()
        self._num_bytes += len(body)

    def _compare(self, num_bytes: int, tag: str) -> None:
        """Compare what lies in the store with what was sent: its length, and its ETag, where that is made of MD5s."""
        head = self._client.head_object(**self._address)
        stored = head["ETag"].strip('"')
        of_md5 = _OF_MD5.fullmatch(stored) is not None and not _ENCRYPTED & head.keys()
        if head["ContentLength"] != num_bytes or (of_md5 and stored != tag):
            self._client.delete_object(**self._address)
            raise StorageError(
                f"{self._address['Key']}: expected {num_bytes} bytes with the ETag {tag} in the store, got "
                f"{head['ContentLength']} with {stored}: they were damaged on the way, and are removed; run again"
            )


def md5(data: bytes) -> str:
    """What a store compares a body with before it takes it."""
    return base64.b64encode(_digest(data).digest()).decode()


def _digest(data: bytes) -> Any:
    return hashlib.md5(data, usedforsecurity=False)
