"""One bucket by way of boto3, whose every request survives the end of its credentials; the only module with boto3."""

import functools
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.shards.errors import StorageError
from surgstream.shards.storage.base import WITHOUT_USER, S3Config, without_secrets
from surgstream.shards.storage.retry import Failure
from surgstream.shards.storage.s3_failures import (
    classify,
    code_of,
    may_be_renewed,
    redirects_nowhere,
    status_of,
)

VARIABLE = "SURGSTREAM_STORES"

OTHERS = "s3://"
"""Stands for all buckets that are not named."""


@dataclass(frozen=True, kw_only=True)
class StoresConfig:
    """The file that `SURGSTREAM_STORES` names, for buckets that need different settings.

    Attributes:
        stores: The settings of a bucket, by its address `s3://BUCKET`; `s3://` is for buckets that are not named.
    """

    stores: dict[str, S3Config] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for address in map(str, self.stores):
            bucket = address.removeprefix(OTHERS)
            if not address.startswith(OTHERS) or "/" in bucket or "@" in bucket:
                yield f"stores: expected s3://BUCKET, or s3:// for all others, got {address!r}"


def reached(bucket: str, settings: S3Config | None) -> S3Config:
    """The settings of a bucket.

    Args:
        bucket: Its name.
        settings: Those of a recipe. Where they differ from the default they hold; the rest comes from the file, if
            there is one, and what the file leaves open is up to boto3.

    Raises:
        ConfigError: The file is missing or wrong.
    """
    path = os.environ.get(VARIABLE)
    stores = _load(path).stores if path else {}
    of_file = stores.get(f"{OTHERS}{bucket}") or stores.get(OTHERS) or S3Config()
    return settings.over(of_file) if settings else of_file


@functools.cache
def _load(path: str) -> StoresConfig:
    return load(StoresConfig, path)


class _Clients(NamedTuple):
    """boto3's clients, with the same credentials."""

    patient: Any
    hasty: Any


class S3Client:
    """Sends requests about one bucket; safe to use from many threads.

    When the store no longer takes its credentials, one thread looks them up again, where boto3 finds them, for all
    threads, and the request is sent once more.

    Attributes:
        bucket: The bucket.
        place: The bucket and its endpoint, for messages.
        causes: How often requests failed and were sent again, by cause; boto3's own tries not counted.
    """

    def __init__(self, bucket: str, config: S3Config) -> None:
        """Send nothing yet.

        Raises:
            StorageError: The configuration of boto3 makes no sense.
            ConfigError: The endpoint holds a user, and so a password.
        """
        self.bucket = bucket
        self._config = config
        self.causes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._bucket_is_there = False

        try:
            self._clients = _connect(config)
        # ValueError: an endpoint that is not a URL.
        except (BotoCoreError, ValueError) as error:
            reason = without_secrets(str(error))
            raise StorageError(f"s3://{bucket}: S3 is not set up: {reason}") from None

        endpoint = self._clients.patient.meta.endpoint_url
        if "@" in endpoint:
            raise ConfigError(f"AWS_ENDPOINT_URL: {WITHOUT_USER}")
        self.place = f"bucket {bucket} at {endpoint}"

    def call(self, operation: str, *, hasty: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run one of boto3's operations on the bucket.

        Args:
            operation: Its name, such as `put_object`.
            hasty: Fail at the first fault of store or network, for callers that try again themselves.
            **arguments: Its arguments without the bucket; a body can be sent twice.

        Returns:
            boto3's answer.

        Raises:
            ClientError: The store refuses.
            BotoCoreError: It cannot be reached, or there are no credentials.
        """
        # Kept, so that `_renew` can tell whether another thread has replaced them
        clients = self._clients
        try:
            return self._send(clients, operation, hasty, arguments)
        except (ClientError, BotoCoreError) as error:
            if not may_be_renewed(error):
                raise
            self.causes["expired"] += 1
        self._renew(clients)
        return self._send(self._clients, operation, hasty, arguments)

    def explain(self, error: Exception) -> Failure:
        """The meaning of an error of `call`; see `classify`."""
        return classify(error, self.place)

    def _send(
        self, clients: _Clients, operation: str, hasty: bool, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        client = clients.hasty if hasty else clients.patient
        try:
            return dict(getattr(client, operation)(Bucket=self.bucket, **arguments))
        except ClientError as error:
            if operation == "head_object":
                self._ask_why(error, client, arguments)
            raise

    def _ask_why(self, refusal: ClientError, client: Any, arguments: dict[str, Any]) -> None:
        """Send a HEAD as a GET, whose answer has a body with the reason of a refusal, and so raise another error.

        A missing object is asked for only until the bucket is known to exist.
        """
        status = status_of(refusal)
        is_worth_asking = status in (400, 403) or (status == 404 and not self._bucket_is_there)
        if not is_worth_asking:
            return
        try:
            client.get_object(Bucket=self.bucket, **arguments)["Body"].close()
        except ClientError as error:
            self._bucket_is_there = status_of(error) == 404 and code_of(error) != "NoSuchBucket"
            raise

    def _renew(self, stale: _Clients) -> None:
        with self._lock:
            # Otherwise another thread was faster.
            if self._clients is stale:
                self._clients = _connect(self._config)


def _connect(config: S3Config) -> _Clients:
    """New clients, with credentials as they are found now."""
    session = boto3.session.Session(profile_name=config.profile)
    return _Clients(
        patient=_client(session, config, max_attempts=5),
        hasty=_client(session, config, max_attempts=1),
    )


def _client(session: Any, config: S3Config, max_attempts: int) -> Any:
    """A client. Settings that are null are left to boto3.

    Checksums only where the protocol demands them: some stores return a whole object's checksum with a range.
    """
    style = config.addressing_style
    settings = Config(
        connect_timeout=config.connect_timeout_seconds,
        read_timeout=config.read_timeout_seconds,
        max_pool_connections=64,
        retries={"mode": "standard", "total_max_attempts": max_attempts},
        signature_version=UNSIGNED if config.anonymous else None,
        s3={"addressing_style": style} if style else None,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = session.client(
        "s3",
        endpoint_url=config.endpoint_url,
        region_name=config.region,
        verify=config.ca_bundle,
        config=settings,
    )

    client.meta.events.register_first("needs-retry.s3", _refuse_redirects)
    return client


def _refuse_redirects(response: Any, operation: Any, **_: Any) -> None:
    """End a request that is redirected nowhere: boto3 would ask for the redirected bucket without end."""
    if response is not None:
        error = ClientError(response[1], operation.name)
        if redirects_nowhere(error):
            raise error
