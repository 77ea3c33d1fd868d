"""The meaning of failed requests to S3: whether to send them again or to renew credentials, and the words for it."""

import email.utils
import time
from collections.abc import Callable

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

from surgstream.shards.storage.base import without_secrets
from surgstream.shards.storage.retry import Failure

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
"""Credentials that were right."""

_UNKNOWN = {
    "InvalidToken",
    "InvalidTokenId",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
}
"""Credentials that a store does not know, or no longer: keys are rotated, and so are the secrets of a key."""

_THROTTLED = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
}
_REDIRECTS = (301, 302, 307, 308)


class UnusableAnswerError(Exception):
    """An answer that another try would not improve."""


FAILURES = (BotoCoreError, ClientError, HTTPError, OSError, UnusableAnswerError)
"""The errors of requests and of their bodies."""


def code_of(error: ClientError) -> str:
    """The store's word for what is wrong; the status where the answer has no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """The status of HTTP; 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def may_be_renewed(error: Exception) -> bool:
    """Whether the same request might succeed with credentials that are looked up again."""
    if isinstance(error, ClientError):
        return code_of(error) in _EXPIRED | _UNKNOWN
    # The file of the credentials may be about to be written.
    return isinstance(error, NoCredentialsError)


def knows_no_upload(error: Exception) -> bool:
    """Whether there is no such upload in parts, because it was aborted or, by some stores, because it is complete."""
    return isinstance(error, ClientError) and code_of(error) == "NoSuchUpload"


def redirects_nowhere(error: ClientError) -> bool:
    """Whether a store redirects without naming a region, in which boto3 would look for the bucket."""
    return status_of(error) in _REDIRECTS and not _region(error)


def classify(error: Exception, place: str) -> Failure:
    """Say why a request failed, and whether to try again.

    Args:
        error: One of `FAILURES`.
        place: The bucket and its endpoint, for messages.
    """
    if isinstance(error, ClientError):
        return _refused(error, place)
    if isinstance(error, UnusableAnswerError):
        return Failure("unusable", str(error), fatal=True)

    if isinstance(error, NoCredentialsError):
        return Failure("credentials", str(error), fatal=True)
    if isinstance(error, CredentialRetrievalError):
        return Failure("credentials", _short(error))

    # The order matters: a ReadTimeoutError, for example, is an HTTPClientError and an HTTPError as well.
    if isinstance(error, (ReadTimeoutError, TimeoutError)):
        return Failure("timeout", _short(error))
    if isinstance(error, (ResponseStreamingError, IncompleteReadError, HTTPError)):
        return Failure("broken_body", _short(error))
    if isinstance(error, (BotoConnectionError, HTTPClientError, OSError)):
        is_timeout = "timeout" in type(error).__name__.lower()
        return Failure("timeout" if is_timeout else "connection", _short(error))
    return Failure("client", _short(error), fatal=True)


def _refused(error: ClientError, place: str) -> Failure:
    code = code_of(error)
    status = status_of(error)
    meta = error.response.get("ResponseMetadata", {})
    headers = meta.get("HTTPHeaders", {})
    request_id = meta.get("RequestId") or headers.get("x-amz-request-id", "unknown")
    # The answer to a HEAD has the status as its code, which is then said once.
    said = " ".join(dict.fromkeys((str(status), code)))
    detail = f"HTTP {said}, request id {request_id}"

    if code in _EXPIRED:
        remedy = "the token has expired, and boto3 finds no newer one; renew it, and run again"
        return Failure("expired", f"{remedy} ({detail})")
    if status == 429 or code in _THROTTLED:
        return Failure("throttled", detail, retry_after(headers.get("retry-after")))
    if status >= 500:
        return Failure("server", detail, retry_after(headers.get("retry-after")))
    if code == "RequestTimeout":
        return Failure("timeout", detail)
    return Failure("refused", f"{_meaning(error, place)} ({detail})", fatal=True)


def _meaning(error: ClientError, place: str) -> str:
    code = code_of(error)
    status = status_of(error)
    if code in _UNKNOWN:
        return (
            "access is denied; check the credentials that boto3 finds: "
            "the store does not know them, or no longer"
        )
    if code == "NoSuchBucket":
        return f"{place} does not exist; check its name, the endpoint and the region"
    if status in _REDIRECTS:
        return (
            f"{place} is not there: the answer points to {_target(error)}; "
            "set endpoint_url or region to that"
        )

    meanings = {
        403: (
            "access is denied; check the credentials and their rights; "
            "without s3:ListBucket, missing is denied"
        ),
        404: "it is missing",
        412: "it was replaced while the run read it (its ETag changed): this is another corpus now",
        416: "it ends before the bytes asked for: it is cut short",
    }
    return meanings.get(status, "the store refuses")


def _target(error: ClientError) -> str:
    """The target of a redirection, as far as the store names it."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = _region(error)
    address = headers.get("location") or error.response.get("Error", {}).get("Endpoint")
    told = []
    if address:
        told.append(without_secrets(str(address))[:200])
    if region:
        told.append(f"the region {region}")
    return " and ".join(told) or "another place, which it does not name"


def _region(error: ClientError) -> str | None:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    told: str | None = error.response.get("Error", {}).get("Region")
    return headers.get("x-amz-bucket-region") or told


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
