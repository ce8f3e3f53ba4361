"""The other end of a conversation with a UDP tracker: what it answers, and time that passes without an answer."""

from __future__ import annotations

import struct
from itertools import count

from anabranch.tracker import AnnounceRequest, Event, TrackerFault
from anabranch.tracker.udp import UdpTracker

HASH, PEER_ID = b"h" * 20, b"-DE211s-dWygz4Kq-25R"
REQUEST = AnnounceRequest(
    HASH, PEER_ID, port=42111, uploaded=3, downloaded=4, left=100000, event=Event.STARTED, key=0x968D4C4E
)
CONNECTION = b"CONNID12"
PEER = bytes.fromhex("c0000201 1ae1")


def conversation(*, v6: bool = False) -> UdpTracker:
    numbers = count(100)
    return UdpTracker(v6=v6, draw=lambda: next(numbers))


def number_of(datagram: bytes) -> int:
    return int.from_bytes(datagram[12:16], "big")


def action_of(datagram: bytes) -> int:
    return int.from_bytes(datagram[8:12], "big")


def connect_reply(datagram: bytes, connection: bytes = CONNECTION) -> bytes:
    return struct.pack(">II", 0, number_of(datagram)) + connection


def announce_reply(datagram: bytes, peers: bytes = PEER) -> bytes:
    return struct.pack(">IIIII", 1, number_of(datagram), 900, 1, 2) + peers


def error_reply(datagram: bytes, words: bytes) -> bytes:
    return struct.pack(">II", 3, number_of(datagram)) + words


def connected(tracker: UdpTracker, now: float = 0.0) -> UdpTracker:
    """Have it a connection id, through a question that is answered."""
    tracker.scrape([HASH], now)
    [connect] = tracker.outgoing()
    tracker.receive(connect_reply(connect), now)
    [scrape] = tracker.outgoing()
    tracker.receive(struct.pack(">II", 2, number_of(scrape)), now)
    return tracker


def the_fault(answers: list[tuple[int, object]]) -> TrackerFault:
    [(_, fault)] = answers
    assert isinstance(fault, TrackerFault)
    return fault


def times_of(tracker: UdpTracker, until: float) -> tuple[list[float], list[tuple[int, object]]]:
    """Let time pass without an answer: when something was sent, and what came of it."""
    sent = [0.0 for _ in tracker.outgoing()]
    answers: list[tuple[int, object]] = []
    while (now := tracker.deadline()) <= until:
        answers += tracker.tick(now)
        sent += [now for _ in tracker.outgoing()]
    return sent, answers
