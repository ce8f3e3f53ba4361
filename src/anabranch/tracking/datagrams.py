"""A tracker's side of UDP: who may ask, what a datagram asks, and the answers.

Source: BEP 15. Options behind an announce (BEP 41) are passed over. A connection id proves that who asks hears what is
sent to its address. It is made of that address, the minute and a secret, so that nothing is kept for those who have
one. Who has none gets no answer longer than what it sent: nobody can be flooded by us in another's name.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from ipaddress import IPv4Address

from anabranch.model import Address
from anabranch.tracker import Event

from .announces import DEFAULT_WANTED, Announce, heeded_host
from .swarms import Counted, Told

CONNECT, ANNOUNCE, SCRAPE, ERROR = range(4)
MOST_SCRAPED = 74  # torrents of one scrape
_MAGIC = (0x41727101980).to_bytes(8, "big")
_MINUTE = 60.0  # seconds
_MINUTES = 3  # that an id is good for, the one it was made in included: two minutes at least
_ANNOUNCE = struct.Struct(">20s20sQQQI4s4siH")
_LARGEST = 1232  # bytes of an answer: what goes in one packet everywhere (IPv6's least is 1,280)
_LONGEST_REASON = 500  # bytes
_UNKNOWN = 2**63 - 1  # what clients say is left while they do not know; some say -1, which comes as more
_EVENTS = (Event.NONE, Event.COMPLETED, Event.STARTED, Event.STOPPED)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question by one who may ask.

    Args:
        action: ANNOUNCE or SCRAPE; anything else is not known.
        number: To be sent back.
        body: What follows.
    """

    action: int
    number: bytes
    body: bytes


class Gate:
    """Lets those ask who have a connection id, and gives it to those who want one.

    Args:
        secret: 16 to 64 bytes that nobody else knows.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def receive(self, datagram: bytes, host: str, now: float) -> Asked | bytes:
        """Read what came from a host: a question, or what to send back at once (nothing, for what is no question)."""
        if len(datagram) < 16:
            return b""
        action, number = int.from_bytes(datagram[8:12], "big"), datagram[12:16]
        if datagram[:8] == _MAGIC and action == CONNECT:
            return struct.pack(">I", CONNECT) + number + self._id(host, int(now // _MINUTE))
        minute = int(now // _MINUTE)
        if any(compare_digest(datagram[:8], self._id(host, minute - ago)) for ago in range(_MINUTES)):
            return Asked(action, number, datagram[16:])
        answer = refused(number, "connection id unknown or too old")
        return answer if len(answer) <= len(datagram) else b""

    def _id(self, host: str, minute: int) -> bytes:
        """Bound to the host alone: between two datagrams a router may give the port away."""
        return blake2b(f"{host} {minute}".encode(), key=self._secret, digest_size=8).digest()


def announce_of(asked: Asked, asker: Address, now: float) -> Announce | None:
    """Read a question that announces; None where it is too short."""
    if len(asked.body) < _ANNOUNCE.size:
        return None
    info_hash, peer_id, downloaded, left, uploaded, event, ip, key, wanted, port = _ANNOUNCE.unpack_from(asked.body)
    return Announce(
        info_hash=info_hash,
        peer_id=peer_id,
        asker=asker,
        host=heeded_host(asker, str(IPv4Address(ip)) if any(ip) else ""),
        port=port,
        event=_EVENTS[event] if event < len(_EVENTS) else Event.NONE,
        left=left if left < _UNKNOWN else None,
        uploaded=uploaded,
        downloaded=downloaded,
        wanted=wanted if wanted >= 0 else DEFAULT_WANTED,
        key=key if any(key) else b"",
        at=now,
    )


def scraped(asked: Asked) -> list[bytes]:
    """The info hashes that a question is about, MOST_SCRAPED at most."""
    end = min(len(asked.body) // 20, MOST_SCRAPED) * 20
    return [asked.body[start : start + 20] for start in range(0, end, 20)]


def announced(number: bytes, told: Told, interval: int, *, v6: bool) -> bytes:
    """The answer to an announce: peers of the family that was asked over, as many as one packet takes."""
    counted = told.counted
    head = struct.pack(">I4sIII", ANNOUNCE, number, interval, counted.leechers, counted.seeders)
    peers = told.v6 if v6 else told.v4
    return head + b"".join(peers[: (_LARGEST - len(head)) // (18 if v6 else 6)])


def scrape_answer(number: bytes, numbers: Sequence[Counted]) -> bytes:
    """The answer to a scrape, in the question's order."""
    counts = [struct.pack(">III", one.seeders, one.completed, one.leechers) for one in numbers]
    return struct.pack(">I4s", SCRAPE, number) + b"".join(counts)


def refused(number: bytes, reason: str) -> bytes:
    """The answer to who is not given what it asked for."""
    return struct.pack(">I4s", ERROR, number) + reason.encode()[:_LONGEST_REASON]
