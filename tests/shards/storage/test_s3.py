"""How a store is reached: whom it is told we are, by which name, and whose certificates are believed."""

import contextlib
import datetime
import ipaddress
import json
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main
from surgstream.shards.errors import StorageError
from surgstream.shards.storage.retry import RetryConfig
from surgstream.shards.storage.s3_client import reached
from surgstream.shards.storage.stores import S3Config, open_storage, read_range
from tests.helpers.faults import FaultProxy, fault_proxy
from tests.helpers.packing import write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video

ONCE = RetryConfig(timeout_seconds=0.1)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("reached") as bucket:
        boto3.client("s3").put_object(
            Bucket="reached", Key="here/a", Body=b"data", ACL="public-read"
        )
        yield bucket


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
    nobody.write_text(
        "[profile lab]\naws_access_key_id = OfTheLab\naws_secret_access_key = hidden\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert read(bucket, S3Config(endpoint_url=proxy.endpoint)) == b"data"
    assert {request.access_key for request in proxy.requests} == {"OfTheLab"}


@pytest.mark.slow
def test_credentials_of_a_process(
    bucket: str, proxy: FaultProxy, nobody: Path, tmp_path: Path
) -> None:
    answer = json.dumps({"Version": 1, "AccessKeyId": "OfAProcess", "SecretAccessKey": "hidden"})
    (tmp_path / "answer.py").write_text(f"print({answer!r})")
    nobody.write_text(
        f"[default]\ncredential_process = {sys.executable} {tmp_path / 'answer.py'}\n"
    )
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
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: resolve(local.get(host, host), *rest, **more),
    )
    endpoint = proxy.endpoint.replace("127.0.0.1", "store.test")
    config = S3Config(endpoint_url=endpoint, addressing_style=style, retry=ONCE)  # type: ignore[arg-type]
    with contextlib.suppress(
        StorageError
    ):  # the server behind the proxy takes any unknown host for a bucket
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


@pytest.mark.slow
def test_a_certificate_is_believed_if_its_bundle_is_named(bucket: str, certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    with fault_proxy(os.environ["AWS_ENDPOINT_URL"], tls=server) as proxy:
        with pytest.raises(StorageError, match="SSL"):
            read(bucket, S3Config(endpoint_url=proxy.endpoint, retry=ONCE))
        assert (
            read(bucket, S3Config(endpoint_url=proxy.endpoint, ca_bundle=str(certificate)))
            == b"data"
        )


@pytest.fixture
def asked_hosts(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of hosts in .test that are looked up; all of them are this machine."""
    hosts, resolve = set[str](), socket.getaddrinfo

    def local(host: str, *rest: Any, **more: Any) -> Any:
        if not host.endswith(".test"):
            return resolve(host, *rest, **more)
        hosts.add(host)
        return resolve("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    return hosts


@pytest.mark.parametrize(("style", "host"), [(None, "reached.store.test"), ("path", "store.test")])
def test_the_style_of_a_profile_holds_unless_a_recipe_has_one(
    style: str | None,
    host: str,
    bucket: str,
    proxy: FaultProxy,
    nobody: Path,
    asked_hosts: set[str],
) -> None:
    key = "aws_access_key_id = OfTheLab\naws_secret_access_key = hidden\n"
    endpoint = proxy.endpoint.replace("127.0.0.1", "store.test")
    nobody.write_text(
        f"[profile lab]\n{key}endpoint_url = {endpoint}\ns3 =\n  addressing_style = virtual\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL")
        with contextlib.suppress(
            StorageError
        ):  # the server behind the proxy takes any unknown host for a bucket
            read(bucket, S3Config(profile="lab", addressing_style=style, retry=ONCE))  # type: ignore[arg-type]
    assert asked_hosts == {host}
    assert {request.access_key for request in proxy.requests} == {"OfTheLab"}


def test_a_profile_that_is_not_there_is_a_sentence(bucket: str) -> None:
    with pytest.raises(
        StorageError, match=r"S3 is not set up: The config profile \(nobody\) could not be found"
    ):
        open_storage(bucket, S3Config(profile="nobody"))


def test_what_is_not_set_is_not_told_to_boto3(bucket: str, nobody: Path, tmp_path: Path) -> None:
    """Each field of S3Config against the same setting of boto3's own file."""
    (tmp_path / "ca.pem").write_text("")
    nobody.write_text(
        f"[default]\nregion = eu-central-1\nca_bundle = {tmp_path / 'ca.pem'}\n"
        "endpoint_url = http://of.the.file.test\ns3 =\n  addressing_style = virtual\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "AWS_ENDPOINT_URL",
            "AWS_DEFAULT_REGION",
            "AWS_CA_BUNDLE",
            "REQUESTS_CA_BUNDLE",
        ):
            patch.delenv(name, raising=False)
        client = open_storage(bucket)._client._clients.patient  # type: ignore[attr-defined]
    assert client.meta.endpoint_url == "http://of.the.file.test"
    assert client.meta.region_name == "eu-central-1"
    assert client.meta.config.s3["addressing_style"] == "virtual"
    assert client._endpoint.http_session._verify == str(tmp_path / "ca.pem")


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Writes the file that SURGSTREAM_STORES names."""

    def write(stores: dict[str, Any]) -> None:
        path = tmp_path / f"stores{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(json.dumps({"stores": stores}))
        monkeypatch.setenv("SURGSTREAM_STORES", str(path))

    return write


def test_each_bucket_is_reached_as_the_file_of_stores_says(
    stores: Callable[[dict[str, Any]], None],
) -> None:
    stores(
        {
            "s3://raw": {"anonymous": True, "profile": "lab"},
            "s3://": {"region": "here", "endpoint_url": "http://a"},
        }
    )
    assert reached("raw", None) == S3Config(anonymous=True, profile="lab")
    assert reached("raw2", None) == S3Config(region="here", endpoint_url="http://a")
    of_recipe = S3Config(region="there", retry=ONCE)
    assert reached("raw2", of_recipe) == S3Config(
        region="there", endpoint_url="http://a", retry=ONCE
    )
    assert reached("raw2", S3Config()) == reached("raw2", None)


def test_of_the_patience_too_only_what_differs_from_the_default_comes_before_the_file() -> None:
    of_file = S3Config(
        read_timeout_seconds=60, retry=RetryConfig(timeout_seconds=3600, max_delay_seconds=5)
    )
    of_recipe = S3Config(region="eu", retry=RetryConfig(max_delay_seconds=60))
    assert of_recipe.over(of_file) == S3Config(
        region="eu",
        read_timeout_seconds=60,
        retry=RetryConfig(timeout_seconds=3600, max_delay_seconds=60),
    )


@pytest.mark.parametrize(
    "address", ["raw", "s3://raw/prefix", "s3://user:secret@raw", "https://raw"]
)
def test_a_file_of_stores_names_buckets(
    address: str, stores: Callable[[dict[str, Any]], None]
) -> None:
    stores({address: {}})
    with pytest.raises(ConfigError, match=r"stores: expected s3://BUCKET, or s3:// for all others"):
        open_storage("s3://raw/x")


def test_a_file_of_stores_that_is_wrong_is_a_mistake(
    stores: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores({"s3://raw": {"endpoint": "http://a"}})
    with pytest.raises(ConfigError, match=r"endpoint: unknown key.*endpoint_url"):
        open_storage("s3://raw/x")
    monkeypatch.setenv("SURGSTREAM_STORES", "missing.yaml")
    with pytest.raises(ConfigError, match=r"missing.yaml: expected a readable YAML file"):
        open_storage("s3://raw/x")
    open_storage("folder")


@pytest.mark.slow
def test_one_command_reads_from_a_public_store_and_writes_to_another_one(
    bucket: str,
    tmp_path: Path,
    stores: Callable[[dict[str, Any]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, boto = os.environ["AWS_ENDPOINT_URL"], boto3.session.Session().client("s3")
    for name in ("public", "ours"):
        boto.create_bucket(Bucket=name, ACL="public-read")
    video = make_video(tmp_path / "v.mp4", 10)
    boto.upload_file(str(video), "public", "videos/v.mp4", ExtraArgs={"ACL": "public-read"})
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "s3://public/videos/*.mp4"}, workers=1)

    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with fault_proxy(server) as public, fault_proxy(server) as ours:
        stores({
            "s3://public": {"endpoint_url": public.endpoint, "anonymous": True},
            "s3://ours": {"endpoint_url": ours.endpoint},
        })  # fmt: skip
        assert main(["pack", corpus, "s3://ours/packed"]) == 0
        assert main(["verify", "s3://ours/packed", "--workers", "1"]) == 0
        for proxy, name, key in ((public, "public", None), (ours, "ours", "anybody")):
            assert proxy.requests and {request.access_key for request in proxy.requests} == {key}
            assert all(request.path.startswith(f"/{name}") for request in proxy.requests)


@pytest.mark.slow
def test_what_comes_between_the_look_and_the_read_is_read_whole(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(f"{bucket}/here")
    sizes = iter([None, 4])
    monkeypatch.setattr(storage, "size", lambda name: next(sizes))
    assert storage.read("a") == b"data"
    with pytest.raises(StorageError, match="it is missing"):
        open_storage(f"{bucket}/here").read("b")
