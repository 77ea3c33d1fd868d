"""Corpora on S3 and on the many stores that speak its protocol."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from surgstream.shards.errors import StorageError
from surgstream.shards.globs import Names
from surgstream.shards.storage.base import (
    S3Config,
    Sink,
    check_size,
    check_version,
    is_weak,
    replaced,
    safe_name,
)
from surgstream.shards.storage.s3_client import S3Client
from surgstream.shards.storage.s3_failures import code_of, status_of
from surgstream.shards.storage.s3_listing import objects, uploads
from surgstream.shards.storage.s3_ranges import RangeFetcher
from surgstream.shards.storage.s3_upload import Upload, md5

log = logging.getLogger(__name__)


class S3Storage:
    """A prefix of a bucket; see `shards.storage.base.Storage`."""

    def __init__(self, bucket: str, prefix: str, uri: str, config: S3Config) -> None:
        self.uri = uri
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._client = S3Client(bucket, config)
        self._fetcher = RangeFetcher(self._client, uri, config.retry)
        self.retries = self._client.causes

    def read(self, name: str) -> bytes:
        """See `Storage.read`."""
        # It is read whole, so it may be another version than before.
        self._fetcher.forget(self._key(name))
        size = self.size(name)
        if size is None:
            # Raises the error that says what exactly is missing, unless it has been written by now.
            self.read_into(name, 0, memoryview(bytearray(1)))
            return self.read(name)

        check_size(self.uri, name, size)
        data = bytearray(size)
        self.read_into(name, 0, memoryview(data))
        return bytes(data)

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        """See `Storage.read_into`."""
        self._fetcher.read_into(self._key(name), start, out, stop)

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        head = self._head(name)
        return None if head is None else int(head["ContentLength"])

    def version(self, name: str) -> str | None:
        """See `Storage.version`."""
        head = self._head(name)
        return None if head is None else f"{head['ContentLength']}-{head.get('ETag', '')}"

    def write(self, name: str, data: bytes) -> None:
        """See `Storage.write`."""
        with self._changing("writing", name) as key:
            self._put(key, data)

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage.create`. Not atomic on stores that know no conditions."""
        return self.size(name) is None and self._put_if(name, data, IfNoneMatch="*")

    def replace(self, name: str, data: bytes, was: str | None) -> None:
        """See `Storage.replace`. Not atomic on stores that know no conditions, or have weak ETags."""
        check_version(self, name, was)
        if any(self._put_if(name, data, **condition) for condition in _unchanged(was)):
            return
        # The answer to a request that was sent again may have been lost: then this process has written it.
        if self.size(name) != len(data) or self.read(name) != data:
            raise StorageError(replaced(self.uri, name))

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[Sink]:
        """See `Storage.writer`."""
        with self._changing("writing", name) as key:
            upload = Upload(self._client, self._fetcher, key)
            try:
                yield upload
                upload.complete()
            except BaseException:
                # The first error is the one to raise.
                with contextlib.suppress(ClientError, BotoCoreError):
                    upload.abort()
                raise

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        with self._changing("deleting", name) as key:
            self._client.call("delete_object", Key=key)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See `Storage.sizes`."""
        # Names that end in a slash stand for folders.
        files = [(name, size) for name, size in self._listed(folder) if name.rpartition("/")[2]]
        return dict(sorted(files))

    def tree(self) -> Names:
        """See `Storage.tree`."""
        return Names(name for name, _ in self._listed())

    def free_bytes(self) -> None:
        """See `Storage.free_bytes`."""

    def sweep(self, ours: Callable[[str], bool]) -> None:
        """See `Storage.sweep`."""
        with self._telling("sweeping", "unfinished uploads"):
            try:
                for upload in list(uploads(self._client, self._prefix)):
                    key = upload["Key"]
                    if ours(key.removeprefix(self._prefix)):
                        self._client.call(
                            "abort_multipart_upload", Key=key, UploadId=upload["UploadId"]
                        )
            # Readers do not see such uploads, and listing them is a right of its own.
            except ClientError as error:
                detail = self._client.explain(error).detail
                log.warning("%s: unfinished uploads cannot be removed: %s", self.uri, detail)

    def _put(self, key: str, data: bytes, **condition: Any) -> None:
        self._client.call("put_object", Key=key, Body=data, ContentMD5=md5(data), **condition)

    def _put_if(self, name: str, data: bytes, **condition: Any) -> bool:
        """Write an object if a condition holds; returns whether it did."""
        with self._changing("writing", name) as key:
            try:
                self._put(key, data, **condition)
            except ClientError as error:
                # 409: another process is writing it; 412: the condition does not hold.
                if status_of(error) in (409, 412):
                    return False
                if status_of(error) != 501:
                    raise
                # 501: the store knows no conditions.
                self._put(key, data)
        return True

    def _listed(self, folder: str = "") -> list[tuple[str, int]]:
        """The names below the prefix, or inside a folder of it, and their lengths."""
        prefix = self._prefix + (safe_name(self.uri, folder) + "/" if folder else "")
        with self._telling("listing", folder or "its objects"):
            return [
                (each["Key"].removeprefix(self._prefix), each["Size"])
                for each in objects(self._client, prefix)
            ]

    def _key(self, name: str) -> str:
        key = self._prefix + safe_name(self.uri, name)
        try:
            key.encode()
        except UnicodeEncodeError:
            raise StorageError(f"{self.uri}: expected a name in Unicode, got {name!r}") from None
        return key

    def _head(self, name: str) -> dict[str, Any] | None:
        """The store's answer about an object; None where the bucket has no such object."""
        with self._telling("looking up", name):
            try:
                return self._client.call("head_object", Key=self._key(name))
            except ClientError as error:
                if status_of(error) == 404 and code_of(error) != "NoSuchBucket":
                    return None
                raise

    @contextlib.contextmanager
    def _changing(self, doing: str, name: str) -> Iterator[str]:
        """The key of an object to write or to remove; later reads accept its new version."""
        key = self._key(name)
        with self._telling(doing, name):
            yield key
        self._fetcher.forget(key)

    @contextlib.contextmanager
    def _telling(self, doing: str, name: str) -> Iterator[None]:
        """Turn what boto3 raises into a StorageError that says what was being done."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            code = code_of(error) if isinstance(error, ClientError) else ""
            if code in ("NoSuchKey", "404"):
                raise StorageError(f"{self.uri}: {name} is missing") from None
            raise StorageError(
                f"{self.uri}: {doing} {name}: {self._client.explain(error).detail}"
            ) from None


def _unchanged(was: str | None) -> tuple[dict[str, str], ...]:
    """Conditions, to be tried in turn, under which an object still is of a version; none where its ETag is weak."""
    if was is None:
        return ({"IfNoneMatch": "*"},)
    etag = was.partition("-")[2]
    if is_weak(etag):
        return ({},)
    return {"IfMatch": etag}, {"IfMatch": etag.strip('"')}  # Ceph refuses an ETag in quotes
