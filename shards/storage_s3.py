"""Corpora on S3 and on the many stores that speak its protocol; the only module that knows boto3."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from configs.errors import ConfigError
from shards.errors import StorageError
from shards.fetch import RangeFetcher, classify
from shards.storage_base import (
    WITHOUT_USER,
    S3Config,
    Sink,
    check_size,
    check_version,
    replaced,
    safe_name,
    without_secrets,
)
from shards.upload import Upload, md5

logger = logging.getLogger(__name__)


class S3Storage:
    """A prefix of a bucket; see `shards.storage_base.Storage`. No lock: one packing at a time may work in it."""

    def __init__(self, bucket: str, prefix: str, uri: str, config: S3Config) -> None:
        self.uri = uri
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        try:
            session = boto3.session.Session()
            self._client = _client(session, config, max_attempts=5)
            # The fetcher counts, waits and gives up by itself; a new session looks credentials up anew.
            self._fetcher = RangeFetcher(
                _client(session, config, max_attempts=1),
                lambda: _client(boto3.session.Session(), config, max_attempts=1),
                uri,
                config.retry,
            )
        except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is not a URL
            raise StorageError(f"{uri}: S3 is not set up: {without_secrets(str(error))}") from None
        if "@" in self._client.meta.endpoint_url:
            raise ConfigError(f"AWS_ENDPOINT_URL: {WITHOUT_USER}")
        self.retries = self._fetcher.causes

    def read(self, name: str) -> bytes:
        """See `Storage.read`."""
        size = self.size(name)
        check_size(self.uri, name, size or 0)
        data = bytearray(1 if size is None else size)  # to read what is missing tells what exactly is
        self.read_into(name, 0, memoryview(data))
        return bytes(data)

    def read_into(self, name: str, start: int, out: memoryview, stop: threading.Event | None = None) -> None:
        """See `Storage.read_into`."""
        address = self._address(name)
        self._fetcher.read_into(address["Bucket"], address["Key"], start, out, stop or threading.Event())

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
        with self._telling("writing", name):
            self._client.put_object(**self._address(name), Body=data, ContentMD5=md5(data))

    def replace(self, name: str, data: bytes, was: str | None) -> None:
        """See `Storage.replace`. Of stores that know no conditions, the last moment is not guarded."""
        check_version(self, name, was)
        condition = {"IfNoneMatch": "*"} if was is None else {"IfMatch": was.partition("-")[2]}
        with self._telling("writing", name):
            try:
                self._client.put_object(**self._address(name), Body=data, ContentMD5=md5(data), **condition)
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status in (409, 412):
                    raise StorageError(replaced(self.uri, name)) from None
                if status != 501:
                    raise
                self._client.put_object(**self._address(name), Body=data, ContentMD5=md5(data))

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[Sink]:
        """See `Storage.writer`."""
        with self._telling("writing", name):
            upload = Upload(self._client, self._address(name))
            try:
                yield upload
                upload.complete()
            except BaseException:
                upload.abort()
                raise

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        with self._telling("deleting", name):
            self._client.delete_object(**self._address(name))

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See `Storage.sizes`."""
        prefix = self._prefix + (safe_name(self.uri, folder) + "/" if folder else "")
        with self._telling("listing", folder or "its objects"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            entries = (entry for page in pages for entry in page.get("Contents", ()))
            return dict(sorted((entry["Key"].removeprefix(self._prefix), entry["Size"]) for entry in entries))

    def free_bytes(self) -> None:
        """See `Storage.free_bytes`."""

    def sweep(self, ours: Callable[[str], bool]) -> None:
        """See `Storage.sweep`."""
        bucket, pager = self._bucket, self._client.get_paginator("list_multipart_uploads")
        with self._telling("sweeping", "unfinished uploads"):
            try:
                pages = list(pager.paginate(Bucket=bucket, Prefix=self._prefix))
                for upload in [upload for page in pages for upload in page.get("Uploads", ())]:
                    key = upload["Key"]
                    if ours(key.removeprefix(self._prefix)):
                        self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
            except ClientError as error:  # nobody sees such uploads, and to list them is a right of its own
                logger.warning("%s: unfinished uploads cannot be removed: %s", self.uri, classify(error).detail)

    def locked(self, *, shared: bool = False, wait: bool = False) -> contextlib.AbstractContextManager[None]:
        """See `Storage.locked`."""
        return contextlib.nullcontext()

    def _address(self, name: str) -> dict[str, str]:
        key = self._prefix + safe_name(self.uri, name)
        try:
            key.encode()
        except UnicodeEncodeError:
            raise StorageError(f"{self.uri}: expected a name in Unicode, got {name!r}") from None
        return {"Bucket": self._bucket, "Key": key}

    def _head(self, name: str) -> dict[str, Any] | None:
        with self._telling("looking up", name):
            try:
                return dict(self._client.head_object(**self._address(name)))
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise

    @contextlib.contextmanager
    def _telling(self, doing: str, name: str) -> Iterator[None]:
        """Turn what boto3 raises into a StorageError that says what was being done."""
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("NoSuchKey", "404"):
                raise StorageError(f"{self.uri}: {name} is missing") from None
            if code == "InvalidRange":
                raise StorageError(f"{self.uri}: {name} is cut short: it ends before the bytes asked for") from None
            raise StorageError(f"{self.uri}: {doing} {name}: {classify(error).detail}") from None
        except BotoCoreError as error:
            raise StorageError(f"{self.uri}: {doing} {name}: {classify(error).detail}") from None


def _client(session: Any, config: S3Config, max_attempts: int) -> Any:
    """A client.

    Checksums only where the protocol demands them: some stores return a whole object's checksum with a range.
    """
    return session.client(
        "s3",
        endpoint_url=config.endpoint_url,
        region_name=config.region,
        verify=config.ca_bundle,
        config=Config(
            connect_timeout=config.connect_timeout_seconds,
            read_timeout=config.read_timeout_seconds,
            max_pool_connections=64,
            retries={"mode": "standard", "total_max_attempts": max_attempts},
            signature_version=UNSIGNED if config.anonymous else None,
            s3={"addressing_style": config.addressing_style},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
