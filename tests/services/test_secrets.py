"""Whatever goes wrong on the way to a store: no secret key, token or signature in what a run prints or writes."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from surgstream.launch.__main__ import main
from tests.end_to_end.runs import RECIPE, SMALLER
from tests.helpers.faults import Fault, FaultProxy, Kind, Request, fault_proxy
from tests.helpers.ranks import finish, start
from tests.services.conftest import write_credentials
from tests.services.rgw import ACCESS_KEY, OTHER_ACCESS_KEY, OTHER_SECRET_KEY, SECRET_KEY, Gateway

TOKEN = "aTokenThatNobodyMayEverSee"
PASSWORD = "aPasswordInAnAddress"
SECRETS = (SECRET_KEY, OTHER_SECRET_KEY, TOKEN, PASSWORD, "X-Amz-Signature", "Signature=")
KINDS: tuple[Kind, ...] = ("reset_before", "slow_down", "server_error", "reset", "early_end")
QUICK = (
    "data.s3.retry.timeout_seconds=20",
    "data.s3.retry.first_delay_seconds=0.02",
    "data.s3.read_timeout_seconds=2",
)


def every_tenth(request: Request) -> Fault | None:
    fault = Fault(KINDS[request.number // 10 % len(KINDS)], at=100)
    return fault if request.method == "GET" and request.number % 10 == 9 else None


def pack(videos: Path, corpus: str, log: Path, endpoint: str) -> int:
    """Pack in processes of their own, against an endpoint; returns the exit status."""
    words = ["pack", str(videos / "corpus.yaml"), corpus, "short_side=72", "fps=5", "workers=1"]
    with log.open("w") as file:
        return subprocess.run(
            [sys.executable, "-m", "surgstream", *words],
            env=os.environ | {"AWS_ENDPOINT_URL": endpoint},
            stdout=file, stderr=file, timeout=240,
        ).returncode  # fmt: skip


def pretrain(corpus: str, run_dir: Path, endpoint: str, *overrides: str) -> int:
    few = (
        f"data.corpus={corpus}",
        f"run_dir={run_dir}",
        "max_steps=2",
        "data.stall_warning_seconds=0.05",
    )
    given = {word.partition("=")[0]: word for word in (*SMALLER, *QUICK, *few, *overrides)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        (status,) = finish(
            start(["pretrain", RECIPE, *given.values()], 1, run_dir.with_suffix(".log")), 240
        )
    return status


def fail(corpus: str, run_dir: Path, endpoint: str, *overrides: str) -> str:
    """Train in vain; returns what was printed."""
    assert pretrain(corpus, run_dir, endpoint, *overrides) in (1, 2)
    printed = run_dir.with_suffix(".log.rank0").read_text()
    assert "Traceback" not in printed, printed
    return printed


def found_in(folder: Path) -> list[str]:
    """Secrets and the files that hold them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        f"{secret} in {path}"
        for path in files
        for secret in SECRETS
        if secret.encode() in path.read_bytes()
    ]


def test_secrets_stay_where_they_are(
    bucket: str, gateway: Gateway, credentials: Path, tmp_path: Path
) -> None:
    assert main(["synth", str(tmp_path / "videos"), "--seconds", "2"]) == 0
    corpus, out = f"s3://{bucket}/corpus", tmp_path / "out"
    out.mkdir()

    def keys_expire(request: Request) -> Fault | None:
        if request.number >= 40 and request.access_key != OTHER_ACCESS_KEY:
            threading.Timer(
                0.2, write_credentials, (credentials, OTHER_ACCESS_KEY, OTHER_SECRET_KEY)
            ).start()
            return Fault("refused")
        return every_tenth(request)

    with fault_proxy(gateway.endpoint, every_tenth) as proxy:
        assert pack(tmp_path / "videos", corpus, out / "pack.log", proxy.endpoint) == 0
        proxy.plan, proxy.requests[:] = keys_expire, []
        assert pretrain(corpus, out / "run", proxy.endpoint) == 0, (
            out / "run.log.rank0"
        ).read_text()
        assert any(request.access_key == OTHER_ACCESS_KEY for request in proxy.requests), (
            "the keys were renewed"
        )
        write_credentials(credentials, ACCESS_KEY, "wrong" + SECRET_KEY)
        proxy.plan = lambda request: None
        assert pack(tmp_path / "videos", corpus, out / "pack_wrong_key.log", proxy.endpoint) == 1
        refused(corpus, out, proxy, credentials)

    written = {path.name for path in out.rglob("*")}
    assert written >= {
        "metrics.jsonl",
        "config.yaml",
        "provenance.json",
        "train.log",
        "state.json",
        "tensorboard",
        "pack.log",
    }
    assert not found_in(out)
    (out / "seen.txt").write_text(
        f"https://store/key?X-Amz-Signature=0&X-Amz-Security-Token={TOKEN}"
    )
    assert len(found_in(out)) == 3, "it would be found"


def refused(corpus: str, out: Path, proxy: FaultProxy, credentials: Path) -> None:
    """Everything that makes a store refuse, the keys being wrong to begin with."""
    assert "access is denied; check the credentials" in fail(
        corpus, out / "wrong_key", proxy.endpoint
    )
    credentials.write_text(credentials.read_text() + f"aws_session_token = {TOKEN}\n")
    proxy.plan = lambda request: Fault("refused")
    assert "HTTP 400" in fail(corpus, out / "expired", proxy.endpoint)
    proxy.plan = lambda request: Fault("server_error")
    assert "HTTP 500" in fail(corpus, out / "broken", proxy.endpoint)
    address = f"http://user:{PASSWORD}@127.0.0.1:1"
    assert "without user" in fail(corpus, out / "environment", address)
    assert "without user" in fail(
        corpus, out / "s3", proxy.endpoint, f"data.s3.endpoint_url={address}"
    )
    assert "without user" in fail(f"s3://user:{PASSWORD}@bucket/x", out / "address", proxy.endpoint)
    assert "expected a path, s3:" in fail(
        f"https://user:{PASSWORD}@store/x?Signature=1", out / "web", proxy.endpoint
    )
