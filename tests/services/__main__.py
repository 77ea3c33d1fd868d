"""`python -m tests.services [--connection-mb 40] COMMAND ...`: run a command against a fresh gateway, bucket `bench`.

With `--connection-mb` nginx stands before the gateway and lets no connection have more megabytes a second.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3

from tests.services.rgw import ACCESS_KEY, SECRET_KEY, Gateway, free_port

_NGINX = """\
daemon off; pid {folder}/pid; error_log stderr warn; worker_processes 1;
events {{}}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream}; proxy_set_header Host $http_host; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_buffers 64 64k; proxy_max_temp_file_size 0; limit_rate {rate};
    }}
  }}
}}
"""


@contextlib.contextmanager
def throttled(upstream: str, bytes_per_second: int, folder: Path) -> Iterator[str]:
    """Nginx before a server; yields its address."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        _NGINX.format(folder=folder, port=port, upstream=upstream, rate=bytes_per_second)
    )
    with subprocess.Popen(["nginx", "-c", str(config)]) as nginx:
        try:
            _wait_for(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()


def _wait_for(address: str) -> None:
    for _ in range(100):
        with (
            contextlib.suppress(urllib.error.URLError),
            contextlib.suppress(urllib.error.HTTPError),
        ):
            urllib.request.urlopen(address, timeout=2).close()
            return
        time.sleep(0.1)
    raise SystemExit(f"{address} does not answer")


def main() -> int:
    """Start everything, run the command, and end everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("--connection-mb", type=float, metavar="MB/S")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        gateway = Gateway(Path(scratch) / "cluster")
        stack.callback(gateway.stop)
        endpoint = gateway.endpoint
        if words.connection_mb:
            endpoint = stack.enter_context(
                throttled(endpoint, int(words.connection_mb * 1e6), Path(scratch))
            )
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        os.environ.update(environment)
        boto3.client("s3").create_bucket(Bucket="bench")
        return subprocess.run(words.command).returncode


if __name__ == "__main__":
    sys.exit(main())
