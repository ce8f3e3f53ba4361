"""Servers on loopback that answer what a test says, in threads of their own: HTTP as raw bytes, a proxy, and BEP 15."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import unquote, urlsplit

PATIENCE = 10  # seconds until a server gives its caller up; no rule


def http_reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class HttpServer:
    """Answers each request with what *answer* makes of its target; keeps the requests' heads.

    Args:
        answer: The whole reply as bytes; empty to hang up, None never to answer.
        host: Loopback address.
        tls: Speaks TLS with this.
        port: 0 for any.
    """

    def __init__(
        self,
        answer: Callable[[str], bytes | None],
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._answer = answer
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=20
        )
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self._tls else ''}://{host}:{self.port}"

    @property
    def targets(self) -> list[str]:
        """What was asked for: path and query, as they came."""
        return [head.split(" ")[1] for head in self.heads]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self.close()

    def close(self) -> None:
        """Give the port back, of one that was never entered too."""
        self._listener.close()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        try:
            if self._tls is not None:
                with sock:
                    sock = self._tls.wrap_socket(sock, server_side=True)
            with sock, sock.makefile("rb") as stream:
                while head := _head(stream):
                    self.heads.append(head)
                    reply = self._answer(head.split(" ")[1])
                    if reply is None:
                        stream.read()
                        return
                    sock.sendall(reply)
                    if b"Content-Length" not in reply or b"Connection: close" in reply:
                        return
        except (OSError, ValueError):
            return


def _head(stream: BinaryIO | socket.SocketIO) -> str:
    """The next request without the empty line behind it; empty where there is none, or not all of it."""
    lines = []
    while (line := stream.readline()) not in (b"", b"\r\n"):
        lines.append(line.decode("latin-1"))
    return "".join(lines) if line else ""


class ProxyServer:
    """An HTTP proxy: whole URLs and CONNECT (RFC 9110, 7.7 and 9.3.6); keeps the heads of what it was asked.

    Args:
        names: The addresses of the names that it knows; addresses need none. What it cannot reach is a 502.
        login: "user:password" that it wants, as a URL has it; empty for nobody's.
        host: Loopback address.
    """

    def __init__(self, names: Mapping[str, str] | None = None, login: str = "", host: str = "127.0.0.1") -> None:
        self.heads: list[str] = []
        self._names = names or {}
        self._due = f"Proxy-Authorization: Basic {b64encode(unquote(login).encode()).decode()}\r\n" if login else ""
        self._open: list[socket.socket] = []
        self._serving: list[threading.Thread] = []
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{f'{login}@' if login else ''}{host}:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        for sock in self._open:
            with suppress(OSError):  # done with
                sock.shutdown(socket.SHUT_RDWR)
        for serving in self._serving:
            serving.join(PATIENCE)
        for sock in (self._listener, *self._open):
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._begin(self._serve, sock)

    def _begin(self, work: Callable[..., None], *sockets: socket.socket) -> None:
        self._open += sockets
        thread = threading.Thread(target=work, args=sockets, daemon=True)
        thread.start()
        self._serving.append(thread)

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        try:
            with sock, sock.makefile("rb", buffering=0) as stream:
                head = _head(stream)
                self.heads.append(head)
                if self._due not in head:
                    sock.sendall(http_reply(b"", status="407 Who is s3cret99?"))
                    return
                self._carry(sock, head)
        except (OSError, ValueError):
            return

    def _carry(self, sock: socket.socket, head: str) -> None:
        method, whole, _ = head.partition("\r\n")[0].split(" ")
        place = urlsplit(f"//{whole}" if method == "CONNECT" else whole)
        try:
            there = socket.create_connection(
                (self._names.get(place.hostname or "", place.hostname), place.port or 80), PATIENCE
            )
        except OSError:
            sock.sendall(http_reply(b"", status="502 Bad Gateway"))
            return
        with there:
            if method == "CONNECT":
                sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._begin(_pour, sock, there)
            else:
                self._open.append(there)
                target = whole.split("/", 3)[3]
                lines = [f"{method} /{target} HTTP/1.1", *head.split("\r\n")[1:]]
                told = [line for line in lines if not line.lower().startswith("proxy-")]
                there.sendall("\r\n".join([*told, ""]).encode("latin-1"))
                there.shutdown(socket.SHUT_WR)
            _pour(there, sock)


def _pour(source: socket.socket, drain: socket.socket) -> None:
    """Everything, until one of them ends."""
    try:
        while received := source.recv(1 << 16):
            drain.sendall(received)
        drain.shutdown(socket.SHUT_WR)
    except OSError:
        return


class UdpServer:
    """A UDP tracker that knows each torrent by 2 seeders, 1 leecher, 7 downloads, and as peers those it is given.

    Args:
        host: Loopback address.
        peers: Compact, as they go into the reply.
        deaf: How many datagrams it does not hear at first.
        failure: What it says to everything but a connect; empty to serve.
        port: Where to listen; 0 for any.
    """

    def __init__(
        self, host: str = "127.0.0.1", *, peers: bytes = b"", deaf: int = 0, failure: str = "", port: int = 0
    ) -> None:
        self.datagrams: list[bytes] = []
        self._peers = peers
        self._deaf = deaf
        self._failure = failure
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"udp://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        name = self._socket.getsockname()
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", name)  # closing a socket does not wake who reads it
        self._thread.join(PATIENCE)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            datagram, caller = self._socket.recvfrom(4096)
            if not datagram:
                return
            self.datagrams.append(datagram)
            if self._deaf:
                self._deaf -= 1
                continue
            self._socket.sendto(self._reply(datagram), caller)

    def _reply(self, datagram: bytes) -> bytes:
        action, number = struct.unpack_from(">II", datagram, 8)
        if action == 0:
            return struct.pack(">II8s", 0, number, b"CONNECTD")
        if self._failure or datagram[:8] != b"CONNECTD":
            return struct.pack(">II", 3, number) + (self._failure or "who are you").encode()
        if action == 1:
            return struct.pack(">IIIII", 1, number, 900, 1, 2) + self._peers
        return struct.pack(">II", 2, number) + struct.pack(">III", 2, 7, 1) * ((len(datagram) - 16) // 20)
