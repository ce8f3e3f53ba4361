"""The smallest tracker there can be (BEP 3, BEP 23): tells everybody who asks at a URL the peers that the URL names.

For programs that take peers from nobody else. It runs in the harness and idles while bytes move.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from .gauge import Address

HOST = "127.0.63.1"
INTERVAL = 1800  # seconds until somebody asks again


class _Tracker(BaseHTTPRequestHandler):
    """Its path names the peers: /announce/HEX/."""

    def do_GET(self) -> None:
        """Answer one announce."""
        peers = bytes.fromhex(self.path.split("/")[2])
        body = b"d8:intervali%de5:peers%d:%se" % (INTERVAL, len(peers), peers)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # named so by the class above
        """Say nothing."""


@cache
def _port() -> int:
    server = ThreadingHTTPServer((HOST, 0), _Tracker)
    Thread(target=server.serve_forever, name="tracker", daemon=True).start()
    return server.server_address[1]


def announcing(peers: Sequence[Address]) -> str:
    """An announce URL that answers with those peers, for as long as we run."""
    packed = b"".join(socket.inet_aton(host) + port.to_bytes(2, "big") for host, port in peers)
    return f"http://{HOST}:{_port()}/announce/{packed.hex()}/"
