"""Who asks a DHT node: a small network around it, so that it has somebody to tell of, and questions without end.

Plain sockets on loopback and bytes that were made before: to ask and hear costs a few microseconds, so that the node
is what is measured. An answer is looked at by its transaction id and its keys.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from random import Random
from struct import pack
from threading import Event, Thread
from time import perf_counter
from types import TracebackType
from typing import Self

from anabranch.bencode import decode

from .case import BenchmarkFailed
from .gauge import Address

HOSTS = 50_000  # that ask, in turn
OPEN = 100  # questions at a time
NEIGHBOURS = 200  # nodes of the network around it
TOLD = 8  # nodes in an answer
PATIENCE = 0.5  # seconds for an answer
MOST_LOST = 0.01  # share of the questions
_IP_PKTINFO = 8  # Linux; Python 3.11 has no name for it

Ancillary = list[tuple[int, int, bytes]]


class Neighbourhood:
    """Nodes that answer whatever they are asked, each at an address of its own: from `with` to the end of the block."""

    def __init__(self, chance: Random) -> None:
        self._ids = [chance.randbytes(20) for _ in range(NEIGHBOURS)]
        self._sockets = [_bound(f"127.0.66.{number + 1}") for number in range(NEIGHBOURS)]
        self._known = [
            (node_id, node_id + socket.inet_aton(sock.getsockname()[0]) + sock.getsockname()[1].to_bytes(2, "big"))
            for node_id, sock in zip(self._ids, self._sockets, strict=True)
        ]
        self._ended = Event()
        self._thread = Thread(target=self._serve, name="neighbourhood", daemon=True)

    @property
    def addresses(self) -> list[Address]:
        """Where they are."""
        return [sock.getsockname() for sock in self._sockets]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        for sock in self._sockets:
            sock.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for node_id, sock in zip(self._ids, self._sockets, strict=True):
                selector.register(sock, selectors.EVENT_READ, node_id)
            while not self._ended.is_set():
                for key, _ in selector.select(0.1):
                    sock = self._sockets[self._ids.index(key.data)]
                    datagram, caller = sock.recvfrom(2048)
                    sock.sendto(self._answer(key.data, datagram), caller)

    def _answer(self, node_id: bytes, datagram: bytes) -> bytes:
        query = decode(datagram, lenient=True)
        assert isinstance(query, dict), "no query"
        asked, transaction = query.get(b"a"), query.get(b"t")
        assert isinstance(asked, dict), "no query"
        assert isinstance(transaction, bytes), "no query"
        target = asked.get(b"target", asked.get(b"info_hash"))
        values = b"2:id20:" + node_id
        if isinstance(target, bytes):
            number = int.from_bytes(target, "big")
            nearest = sorted(self._known, key=lambda one: int.from_bytes(one[0], "big") ^ number)[:TOLD]
            values += b"5:nodes%d:%b" % (26 * len(nearest), b"".join(packed for _, packed in nearest))
        return b"d1:rd%be1:t%d:%b1:y1:re" % (values, len(transaction), transaction)


class Asker:
    """One socket that asks in the names of many hosts of loopback: from `with` to the end of the block.

    Who asks a node of the DHT once hardly asks it again soon: so every question comes from another host than the last
    50,000 did, and from another of hundreds of ids. What the node asks these hosts is not answered, as by most of them
    it would not be.

    Args:
        node: Whom to ask.
        chance: Where ids come from.
    """

    def __init__(self, node: Address, chance: Random) -> None:
        self._node = node
        self._chance = chance
        self._socket = _bound("0.0.0.0")
        self._hosts = cycle([_speaking_as(127, 80, number // 250, number % 250) for number in range(HOSTS)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def one(self, method: bytes, arguments: bytes, host: Ancillary | None = None) -> bytes:
        """Ask once; the answer. BenchmarkFailed for an error or none."""
        query = _query(self._chance.randbytes(20), method, arguments, b"xx")
        self._socket.sendmsg([query], host or next(self._hosts), 0, self._node)
        try:
            return self._heard()
        except TimeoutError:
            raise BenchmarkFailed(f"no answer to {method.decode()} for {PATIENCE:g} s") from None

    def announce(self, info_hash: bytes, count: int) -> None:
        """As many hosts tell that they have that torrent."""
        for _ in range(count):
            host = next(self._hosts)
            token = _token(self.one(b"get_peers", b"9:info_hash20:" + info_hash, host))
            announced = b"9:info_hash20:%b4:porti6881e5:token%d:%b" % (info_hash, len(token), token)
            self.one(b"announce_peer", announced, host)

    def flood(self, method: bytes, arguments: Sequence[bytes], seconds: float, due: bytes) -> int:
        """Keep OPEN questions open for so long. How many were answered; BenchmarkFailed where more than few were not.

        Args:
            method: What.
            arguments: Taken in turn.
            seconds: How long.
            due: What every answer has in it.
        """
        queries = cycle(
            [
                _query(self._chance.randbytes(20), method, one, number.to_bytes(2, "big"))
                for number, one in enumerate(arguments)
            ]
        )
        send, hosts, node = self._socket.sendmsg, self._hosts, self._node
        still = answered = lost = 0
        end = perf_counter() + seconds
        while perf_counter() < end:
            for _ in range(OPEN - still):
                send([next(queries)], next(hosts), 0, node)
            still = OPEN
            try:
                for _ in range(OPEN):
                    if due not in self._heard():
                        raise BenchmarkFailed(f"an answer without {due!r}")
                    answered += 1
                    send([next(queries)], next(hosts), 0, node)
            except TimeoutError:  # UDP
                lost, still = lost + OPEN, 0
        answered += self._rest()
        if lost > answered * MOST_LOST:
            raise BenchmarkFailed(f"{lost} questions were not answered, {answered} were")
        return answered

    def _rest(self) -> int:
        """Wait for the last answers; how many there were."""
        heard = 0
        with suppress(TimeoutError):
            while heard < OPEN:
                self._heard()
                heard += 1
        return heard

    def _heard(self) -> bytes:
        """The next answer; what the node itself asks is not answered. Raises TimeoutError after PATIENCE."""
        while True:
            datagram = self._socket.recv(2048)
            if datagram.endswith(b"1:y1:re"):
                return datagram
            if datagram.endswith(b"1:y1:ee"):
                raise BenchmarkFailed(f"an error: {datagram!r}")


def nodes_in(answer: bytes) -> int:
    """How many nodes an answer tells of."""
    values = _values(answer).get(b"nodes", b"")
    return len(values) // 26 if isinstance(values, bytes) else 0


def _token(answer: bytes) -> bytes:
    token = _values(answer).get(b"token")
    if not isinstance(token, bytes):
        raise BenchmarkFailed(f"an answer without a token: {answer!r}")
    return token


def _values(answer: bytes) -> dict[bytes, object]:
    message = decode(answer, lenient=True)
    values = message.get(b"r") if isinstance(message, dict) else None
    if not isinstance(values, dict):
        raise BenchmarkFailed(f"no answer: {answer!r}")
    return dict(values)


def _query(node_id: bytes, method: bytes, arguments: bytes, transaction: bytes) -> bytes:
    return b"d1:ad2:id20:%b%be1:q%d:%b1:t2:%b1:y1:qe" % (node_id, arguments, len(method), method, transaction)


def _speaking_as(*host: int) -> Ancillary:
    """What makes a datagram leave from that address of ours; Linux: ip(7)."""
    return [(socket.IPPROTO_IP, _IP_PKTINFO, pack("=i4s4s", 0, bytes(host), bytes(4)))]


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(PATIENCE)
    return sock
