"""A DHT node of a few lines on a socket: right, or as bad as a test likes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anabranch.model import Address
from anabranch.testing.dht_talk import read, reply

Answer = Callable[[bytes], list[bytes]]


def right(datagram: bytes) -> list[bytes]:
    """A node that knows nobody, and answers at once."""
    fields = read(datagram)
    if fields.get(b"y") != b"q" or not isinstance(fields.get(b"t"), bytes):
        return []
    return [reply(fields[b"t"], b"N" * 20, nodes=b"", token=b"tk")]


@contextmanager
def node(answer: Answer) -> Iterator[Address]:
    """A thread that answers on a socket, until an answer is an error."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.9.1", 0))
        listening.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    datagram, name = listening.recvfrom(65536)
                except OSError:
                    continue
                try:
                    answers = answer(datagram)
                except RecursionError:
                    return
                for one in answers:
                    listening.sendto(one, name)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address(*listening.getsockname())
        finally:
            over.set()
            thread.join()
