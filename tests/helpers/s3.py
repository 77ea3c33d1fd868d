"""An S3 server on the loopback, for fast tests of what speaks to S3. It accepts any credentials."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer


@contextmanager
def s3_bucket(name: str) -> Iterator[str]:
    """Serve an empty bucket, which boto3 finds through the environment, and yield its address `s3://NAME`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.session.Session().client("s3").create_bucket(Bucket=name)
        try:
            yield f"s3://{name}"
        finally:
            server.stop()
            # All servers of a process share their buckets, and the next test may want one of this name.
            shared = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
            shared.get_bucket(name).keys.clear()
            shared.delete_bucket(name)
