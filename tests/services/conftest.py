"""One RADOS Gateway for all service tests that ask for it, and a new Slurm for each that does."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.end_to_end.conftest import corpora as corpora
from tests.services.rgw import ACCESS_KEY, SECRET_KEY, Gateway
from tests.services.slurm import Cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.services)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("rgw") / "cluster")
    yield gateway
    gateway.stop()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "cluster")
    yield cluster
    cluster.stop()


@pytest.fixture
def larger_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a node more than jobs have."""
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "cluster", num_nodes=3)
    yield cluster
    cluster.stop()


@pytest.fixture
def credentials(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credentials file and an environment that reach the gateway; returns the file."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "credentials"
    write_credentials(path, ACCESS_KEY, SECRET_KEY)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", gateway.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return path


def write_credentials(path: Path, access_key: str, secret_key: str) -> None:
    """Replace the file as a whole: somebody may be reading it."""
    text = f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


@pytest.fixture
def bucket(credentials: Path, request: pytest.FixtureRequest) -> str:
    """A new bucket; returns its name."""
    name = request.node.name.replace("_", "-").split("[")[0].lower()[:60].rstrip("-")
    boto3.session.Session().client("s3").create_bucket(Bucket=name)
    return name
