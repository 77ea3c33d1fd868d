"""A proxy that stands between a client and an S3 server and does what networks and stores do on bad days."""

import http.client
import os
import random
import re
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import SplitResult, urlsplit

Kind = Literal[
    "reset_before",
    "lost",
    "reset",
    "early_end",
    "stall",
    "slow_down",
    "server_error",
    "flip",
    "refused",
    "throttle",
]
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    Attributes:
        kind: `reset_before`: the connection is reset before any answer; `lost`: the same, once the server has done what
            was asked; `reset`, `early_end`, `stall`: reset, closed or silent after `at` bytes of the body;
            `slow_down`: 503 with Retry-After; `server_error`: 500; `flip`: one bit of byte `at` is flipped; `refused`:
            `status` and `code`; `throttle`: `bytes_per_second` on this connection.
        at: Bytes of the body that pass first.
        retry_after: Seconds, in the header of `slow_down`.
        bytes_per_second: Of `throttle`.
        status: Of `refused`.
        code: In the body of `refused`, which the answer to HEAD has not.
        headers: Of `refused`.
    """

    kind: Kind
    at: int = 0
    retry_after: int = 0
    bytes_per_second: float = 0.0
    status: int = 400
    code: str = "ExpiredToken"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    """A request as the proxy sees it; `number` counts from 0, `access_key` is the one that signed it for `region`."""

    number: int
    method: str
    path: str
    range: str | None
    access_key: str | None
    region: str | None
    if_match: str | None


Plan = Callable[[Request], Fault | None]

SEED = int(os.environ.get("SEED") or secrets.randbits(32))
"""Of whatever is random in a test of faults; a failing test prints it, and `SEED=N make test-services` repeats it."""


class RandomFaults:
    """A plan by which one request in twenty meets a fault; prints them, which pytest shows when the test fails.

    Kinds take turns, so that the second reading of a chunk is never flipped as the first one was.

    Attributes:
        num_met: Faults so far.
    """

    KINDS: tuple[Kind, ...] = (
        "reset_before",
        "reset",
        "early_end",
        "slow_down",
        "server_error",
        "flip",
        "stall",
    )

    def __init__(self, seed: int = SEED) -> None:
        print(f"SEED={seed}")
        self.num_met, self._seed = 0, seed

    def __call__(self, request: Request) -> Fault | None:
        turn, place = divmod(request.number, 20)
        luck = random.Random(f"{self._seed} {turn}")
        if place != luck.randrange(20) or request.method != "GET":
            return None
        fault = Fault(self.KINDS[turn % len(self.KINDS)], at=luck.randrange(150))
        self.num_met += 1
        print(f"{request.number}: {request.method} {request.path} {request.range}: {fault}")
        return fault


class FaultProxy:
    """The proxy.

    Attributes:
        endpoint: Its address.
        plan: Decides what happens to each request; may be replaced at any time.
        requests: Everything that was asked.
        connections: The client's ports, one a connection.
    """

    def __init__(
        self, upstream: str, plan: Plan = lambda request: None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen on a free port of the loopback, in front of `upstream`; with `tls`, speak HTTPS."""
        self.plan, self.requests, self.connections = plan, list[Request](), set[int]()
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(upstream)))
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client: (
            None
        )  # clients are killed in the middle of a word
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def close(self) -> None:
        """Stop listening, and end what stalls."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def arrived(self, handler: BaseHTTPRequestHandler) -> Fault | None:
        """Note a request and decide about it."""
        signed = re.search(
            r"Credential=([^/]+)/\d+/([^/]+)/", handler.headers.get("Authorization", "")
        )
        with self._lock:
            self.connections.add(handler.client_address[1])
            request = Request(
                number=len(self.requests),
                method=handler.command,
                path=handler.path,
                range=handler.headers.get("Range"),
                access_key=signed and signed[1],
                region=signed and signed[2],
                if_match=handler.headers.get("If-Match"),
            )
            self.requests.append(request)
        return self.plan(request)

    def stall(self) -> None:
        """Say nothing until the proxy closes."""
        self._closing.wait(60)


@contextmanager
def fault_proxy(
    upstream: str, plan: Plan = lambda request: None, tls: ssl.SSLContext | None = None
) -> Iterator[FaultProxy]:
    """Run a proxy for the length of a block."""
    proxy = FaultProxy(upstream, plan, tls)
    try:
        yield proxy
    finally:
        proxy.close()


def _handler(proxy: FaultProxy, upstream: SplitResult) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            fault = proxy.arrived(self)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if fault and self._refused(fault):
                return
            link = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=30)
            try:
                link.request(self.command, self.path, body=body, headers=dict(self.headers))
                answer = link.getresponse()
                if fault and fault.kind == "lost":
                    raise ConnectionError("the answer is lost")
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("server", "date", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                if (
                    answer.length is None
                ):  # the server sends chunks of unknown number, we send until we close
                    self.send_header("Connection", "close")
                self.end_headers()
                self._pass_on(answer, fault)
            except OSError:
                self._reset()
            finally:
                link.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

        def _refused(self, fault: Fault) -> bool:
            if fault.kind == "reset_before":
                self._reset()
            elif fault.kind == "slow_down":
                self._error(503, "SlowDown", {"Retry-After": str(fault.retry_after)})
            elif fault.kind == "server_error":
                self._error(500, "InternalError", {})
            elif fault.kind == "refused":
                self._error(fault.status, fault.code, dict(fault.headers))
            else:
                return False
            return True

        def _error(self, status: int, code: str, headers: dict[str, str]) -> None:
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><RequestId>proxy</RequestId></Error>".encode()
            self.send_response(status)
            headers |= {"Content-Length": str(len(body)), "x-amz-request-id": "proxy"}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _pass_on(self, answer: http.client.HTTPResponse, fault: Fault | None) -> None:
            done, started = 0, time.monotonic()
            while data := bytearray(answer.read(_PIECE)):
                if fault and done <= fault.at < done + len(data):
                    if fault.kind == "flip":
                        data[fault.at - done] ^= 1
                    elif fault.kind in ("reset", "early_end", "stall"):
                        self.wfile.write(data[: fault.at - done])
                        self._break_off(fault)
                        return
                self.wfile.write(data)
                done += len(data)
                if fault and fault.kind == "throttle":
                    time.sleep(max(0.0, started + done / fault.bytes_per_second - time.monotonic()))

        def _break_off(self, fault: Fault) -> None:
            self.wfile.flush()
            if fault.kind == "stall":
                proxy.stall()
            if fault.kind == "early_end":
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self._reset()

        def _reset(self) -> None:
            with suppress(OSError):
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.connection.close()
            self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
