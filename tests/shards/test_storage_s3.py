"""How a store is reached: whom it is told we are, by which name, and whose certificates are believed."""

import contextlib
import datetime
import ipaddress
import json
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shards.errors import StorageError
from shards.retry import RetryConfig
from shards.storage import S3Config, open_storage, read_range
from tests.helpers.faults import FaultProxy, fault_proxy
from tests.helpers.s3 import s3_bucket

ONCE = RetryConfig(timeout_seconds=0.1)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("reached") as bucket:
        boto3.client("s3").put_object(Bucket="reached", Key="here/a", Body=b"data", ACL="public-read")
        yield bucket


@pytest.fixture
def proxy(bucket: str) -> Iterator[FaultProxy]:
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        yield proxy


def read(bucket: str, config: S3Config) -> bytes:
    return read_range(open_storage(f"{bucket}/here", config), "a", 0, 4)


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without credentials; returns an empty configuration file of its own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


def test_credentials_of_a_profile(
    bucket: str, proxy: FaultProxy, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody.write_text("[profile lab]\naws_access_key_id = OfTheLab\naws_secret_access_key = hidden\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert read(bucket, S3Config(endpoint_url=proxy.endpoint)) == b"data"
    assert {request.access_key for request in proxy.requests} == {"OfTheLab"}


def test_credentials_of_a_process(bucket: str, proxy: FaultProxy, nobody: Path, tmp_path: Path) -> None:
    answer = json.dumps({"Version": 1, "AccessKeyId": "OfAProcess", "SecretAccessKey": "hidden"})
    (tmp_path / "answer.py").write_text(f"print({answer!r})")
    nobody.write_text(f"[default]\ncredential_process = {sys.executable} {tmp_path / 'answer.py'}\n")
    assert read(bucket, S3Config(endpoint_url=proxy.endpoint)) == b"data"
    assert {request.access_key for request in proxy.requests} == {"OfAProcess"}


@pytest.mark.usefixtures("nobody")
def test_no_credentials_are_a_sentence(bucket: str, proxy: FaultProxy) -> None:
    with pytest.raises(StorageError, match="Unable to locate credentials"):
        read(bucket, S3Config(endpoint_url=proxy.endpoint))
    assert read(bucket, S3Config(endpoint_url=proxy.endpoint, anonymous=True)) == b"data"
    assert {request.access_key for request in proxy.requests} == {None}


@pytest.mark.parametrize(("style", "path"), [("path", "/reached/here/a"), ("virtual", "/here/a")])
def test_the_bucket_stands_in_the_path_or_in_the_name(
    style: str, path: str, bucket: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    local = {"store.test": "127.0.0.1", "reached.store.test": "127.0.0.1"}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve(local.get(host, host), *rest, **more)
    )
    endpoint = proxy.endpoint.replace("127.0.0.1", "store.test")
    config = S3Config(endpoint_url=endpoint, addressing_style=style, retry=ONCE)  # type: ignore[arg-type]
    with contextlib.suppress(StorageError):  # the server behind the proxy takes any unknown host for a bucket
        read(bucket, config)
    assert {request.path for request in proxy.requests} == {path}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that it signed itself, and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(secret + signed.public_bytes(pem))
    return path


def test_a_certificate_is_believed_if_its_bundle_is_named(bucket: str, certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"], tls=server) as proxy:
        with pytest.raises(StorageError, match="SSL"):
            read(bucket, S3Config(endpoint_url=proxy.endpoint, retry=ONCE))
        assert read(bucket, S3Config(endpoint_url=proxy.endpoint, ca_bundle=str(certificate))) == b"data"
