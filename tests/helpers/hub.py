"""A stand-in for the Hub of Hugging Face: the requests that huggingface_hub makes to send files, by Git LFS."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = (".safetensors", ".pth", ".pt")


@dataclass
class Repository:
    """A repository: who may read it, the files of its newest commit, and the number of its commits."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


@dataclass
class Hub:
    """The stand-in.

    Attributes:
        token: The only token that it takes.
        endpoint: Its address.
        repositories: Its repositories by name.
        objects: Large files that have arrived, by SHA-256.
        requests: Method and path of all requests.
        fault: Says which status to answer a method and path with; None answers as the Hub does.
    """

    token: str
    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    fault: Callable[[str, str], int | None] = lambda method, path: None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON of a request."""
        parts = path.strip("/").split("/")
        if method == "PUT" and parts[0] == "lfs":
            assert sha256(body).hexdigest() == parts[1]
            self.objects[parts[1]] = body
            return 200, {}
        if path == "/api/repos/create":
            tree = json.loads(body)
            name = f"{tree['organization']}/{tree['name']}"
            self.repositories[name] = Repository(tree.get("visibility") == "private")
            return 200, {"url": f"{self.endpoint}/{name}", "name": name, "id": "1"}
        if path in ("/api/validate-yaml", "/verify"):
            return 200, {"errors": [], "warnings": []}
        if parts[-1] == "batch":
            return 200, {"objects": [self._upload(each) for each in json.loads(body)["objects"]]}

        name = "/".join(parts[2:4])
        if parts[:2] != ["api", "models"] or name not in self.repositories:
            return 404, {"error": "Repository not found"}
        return self._of_repository(name, parts[4:], body)

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.objects:
            return wanted  # it is there
        signed = f"{self.endpoint}/lfs/{wanted['oid']}?X-Amz-Signature=secretsignature"
        verify = {"href": f"{self.endpoint}/verify"}
        return {**wanted, "actions": {"upload": {"href": signed}, "verify": verify}}

    def _of_repository(self, name: str, rest: list[str], body: bytes) -> tuple[int, Any]:
        repository = self.repositories[name]
        if not rest:
            return 200, {"_id": "1", "id": name, "private": repository.private, "siblings": []}
        if rest[0] == "preupload":
            files = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(body)["files"]
            ]
            return 200, {"files": files}

        assert rest[0] == "commit"
        repository.commits += 1
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.objects[value["oid"]]
        oid = f"{repository.commits:040x}"
        return 200, {"commitUrl": f"{self.endpoint}/{name}/commit/{oid}", "commitOid": oid}


@contextmanager
def serving(token: str) -> Iterator[Hub]:
    """Serve on the loopback."""
    hub = Hub(token)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            hub.requests.append((self.command, path))

            status = hub.fault(self.command, path)
            tree: Any = {"error": "as the test wants it"}
            if status is None and self.command != "PUT":
                known = self.headers.get("Authorization") == f"Bearer {hub.token}"
                status, tree = (None, None) if known else (401, {"error": "Invalid credentials"})
            if status is None:
                status, tree = hub.answer(self.command, path, body)

            content = json.dumps(tree).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
