"""A Ceph RADOS Gateway on the loopback: one monitor, one OSD that keeps its data in memory, one gateway.

The store that many clusters run, in a folder that is thrown away. Needs Debian's radosgw, ceph-mon and ceph-osd.
"""

import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "surgstreamtest", "notASecretButLookedForInLogs"
OTHER_ACCESS_KEY, OTHER_SECRET_KEY = "surgstreamother", "anotherOneForWhenTheFirstExpires"
PROGRAMS = (
    "radosgw",
    "radosgw-admin",
    "ceph-mon",
    "ceph-osd",
    "ceph",
    "ceph-authtool",
    "monmaptool",
)

_CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}]
keyring = {folder}/keyring
run dir = {folder}
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
osd objectstore = memstore
memstore device bytes = {store_bytes}
mon data = {folder}/mon
osd data = {folder}/osd
osd pool default pg num = 8
ms bind ipv6 = false
ms bind msgr1 = false

[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw gc obj min wait = 5
rgw gc processor period = 5
rgw gc processor max time = 5
"""


class Gateway:
    """A running gateway; `stop` ends everything."""

    def __init__(self, folder: Path, *, store_bytes: int = 4 * 2**30) -> None:
        """Start it in a new folder; takes about ten seconds.

        Raises:
            RuntimeError: A program is missing or does not come up; its log's last lines are in the message.
        """
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise RuntimeError(
                f"RADOS Gateway: {', '.join(missing)} not installed; run `make test-services`"
            )
        self.folder, self.port = folder, free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._start_cluster(store_bytes)
            self.start_gateway()
            self._create_user()
        except BaseException:
            self.stop()
            raise

    def start_gateway(self) -> None:
        """Start the gateway alone, on the same port as before."""
        self._spawn("radosgw", "-n", "client.rgw", "-f")
        self._wait("radosgw", self._answers)

    def kill_gateway(self) -> None:
        """SIGKILL the gateway; what it stores stays."""
        process = self._processes.pop("radosgw")
        process.kill()
        process.wait()

    def add_key(self, access_key: str, secret_key: str) -> None:
        """Let the tests' user come by a key, beside those that it has."""
        secret = ("--secret-key", secret_key)
        self._ceph(
            "radosgw-admin", "key", "create", "--uid", "tests", "--access-key", access_key, *secret
        )

    def remove_key(self, access_key: str) -> None:
        """Let nobody come by a key any more."""
        self._ceph("radosgw-admin", "key", "rm", "--uid", "tests", "--access-key", access_key)

    def stop(self) -> None:
        """End all processes."""
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def _start_cluster(self, store_bytes: int) -> None:
        self.folder.mkdir(parents=True)
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        mon_port = free_port()
        self._fsid, osd_id = str(uuid.uuid4()), str(uuid.uuid4())
        (self.folder / "ceph.conf").write_text(
            _CONFIG.format(
                fsid=self._fsid,
                mon_port=mon_port,
                folder=self.folder,
                store_bytes=store_bytes,
                port=self.port,
            )
        )
        keyring, monmap = self.folder / "keyring", self.folder / "monmap"
        everything = [
            "--cap",
            "mon",
            "allow *",
            "--cap",
            "osd",
            "allow *",
            "--cap",
            "mgr",
            "allow *",
        ]
        for name in ("mon.", "client.admin", "client.rgw", "osd.0"):
            create = [] if keyring.exists() else ["--create-keyring"]
            _run("ceph-authtool", *create, str(keyring), "--gen-key", "-n", name, *everything)
        _run(
            "monmaptool",
            "--create",
            "--fsid",
            self._fsid,
            "--addv",
            "a",
            f"[v2:127.0.0.1:{mon_port}]",
            str(monmap),
        )
        self._ceph(
            "ceph-mon", "--mkfs", "-i", "a", "--monmap", str(monmap), "--keyring", str(keyring)
        )
        self._spawn("ceph-mon", "-i", "a", "-f")
        self._wait(
            "ceph-mon",
            lambda: self._ceph("ceph", "--connect-timeout", "2", "status", check=False) == 0,
        )
        self._ceph("ceph", "osd", "new", osd_id)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_id)
        self._spawn("ceph-osd", "-i", "0", "-f")

    def _create_user(self) -> None:
        self._ceph("radosgw-admin", "user", "create", "--uid", "tests", "--display-name", "tests")
        for key, secret in ((ACCESS_KEY, SECRET_KEY), (OTHER_ACCESS_KEY, OTHER_SECRET_KEY)):
            self.add_key(key, secret)

    def _ceph(self, program: str, *words: str, check: bool = True) -> int:
        return _run(program, "-c", str(self.folder / "ceph.conf"), *words, check=check)

    def _spawn(self, program: str, *words: str) -> None:
        with (self.folder / f"{program}.out").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                [program, "-c", str(self.folder / "ceph.conf"), *words],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self, program: str, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if self._processes[program].poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / f"{program}.out").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{program} did not come up within {seconds:.0f} s: {tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


def _run(*words: str, check: bool = True) -> int:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    if check and done.returncode:
        raise RuntimeError(
            f"{' '.join(words)} failed with status {done.returncode}: {done.stderr[-2000:]}"
        )
    return done.returncode


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
