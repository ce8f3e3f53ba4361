"""A peer on loopback that gives an info dictionary to whoever asks for it, whatever it is worth, and nothing else."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha1

_EXTENDED = 20
_OUR_ID = 3  # under which we take metadata messages
_PATIENCE = 10  # seconds until a caller is given up; no rule


@contextmanager
def giving(info: bytes) -> Iterator[tuple[str, str]]:
    """Serve it for as long as the block. Gives the v1 link to it, and HOST:PORT."""
    info_hash = sha1(info, usedforsecurity=False).digest()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, info_hash, info), daemon=True)
        thread.start()
        yield f"magnet:?xt=urn:btih:{info_hash.hex()}&dn=odd", f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(_PATIENCE)


def _accept(listener: socket.socket, info_hash: bytes, info: bytes) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock, suppress(OSError, EOFError):
            sock.settimeout(_PATIENCE)
            _serve(sock, info_hash, info)


def _serve(sock: socket.socket, info_hash: bytes, info: bytes) -> None:
    _exactly(sock, 68)
    reserved = bytes(5) + b"\x10\0\0"  # the extension protocol
    sock.sendall(b"\x13BitTorrent protocol" + reserved + info_hash + b"-XX0000-odd odd odd!")
    _say(sock, 0, b"d1:md11:ut_metadatai%de" % _OUR_ID + b"e13:metadata_sizei%de" % len(info) + b"e")
    theirs = 0
    while True:
        frame = _exactly(sock, struct.unpack(">I", _exactly(sock, 4))[0])
        if frame[:2] == bytes([_EXTENDED, 0]):
            theirs = int(frame.partition(b"ut_metadatai")[2].partition(b"e")[0] or 0)
        elif frame[:2] == bytes([_EXTENDED, _OUR_ID]):
            _say(sock, theirs, b"d8:msg_typei1e5:piecei0e10:total_sizei%dee" % len(info) + info)


def _say(sock: socket.socket, number: int, payload: bytes) -> None:
    sock.sendall(struct.pack(">IBB", 2 + len(payload), _EXTENDED, number) + payload)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
