"""A tracker's side of HTTP: what a query says, and the bencoded answers.

Source: BEP 3, BEP 7 (peers6), BEP 23 (compact), BEP 24 (external ip), BEP 48 (scrape). Where clients differ, what any
of them means is understood: a missing "left" or "compact", "left=-1" for unknown, blanks as "+".
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

from anabranch.bencode import encode
from anabranch.model import Address
from anabranch.tracker import Event

from .announces import DEFAULT_WANTED, Announce, Refusal, heeded_host, host_of
from .requests import Request
from .swarms import Counted, Told

MOST_SCRAPED = 200  # torrents of one scrape; what a head can hold is not much more
_MOST_PARAMETERS = 400
_MOST_DIGITS = 19  # a 64-bit number has no more
_LONGEST_KEY = 64  # bytes
_EVENTS: Mapping[bytes, Event] = {
    b"started": Event.STARTED,
    b"completed": Event.COMPLETED,
    b"stopped": Event.STOPPED,
}


def announce_of(request: Request, asker: Address, now: float) -> Announce:
    """Read a query that announces.

    Raises:
        Refusal: something is missing or is not what it should be; the text says what.
    """
    table = _table(request.query)
    left = table.get(b"left", b"")
    return Announce(
        info_hash=_twenty(table, b"info_hash"),
        peer_id=_twenty(table, b"peer_id"),
        asker=asker,
        host=heeded_host(asker, table.get(b"ip", b"").decode("latin-1")),
        port=_port(table),
        event=_EVENTS.get(table.get(b"event", b""), Event.NONE),  # others are of no matter here: "paused" (BEP 21)
        left=None if not left or left.startswith(b"-") else _number(left, b"left"),
        uploaded=_number(table.get(b"uploaded", b""), b"uploaded"),
        downloaded=_number(table.get(b"downloaded", b""), b"downloaded"),
        wanted=_wanted(table.get(b"numwant", b"")),
        key=_key(table.get(b"key", b"")),
        is_compact=table.get(b"compact") != b"0",
        with_ids=table.get(b"no_peer_id") != b"1",
        carrier="http",
        target=(request.path + b"?" + request.query).decode("latin-1"),
        user_agent=request.user_agent,
        at=now,
    )


def scraped(request: Request) -> list[bytes]:
    """The info hashes that a query asks the numbers of, each once.

    Raises:
        Refusal: none (all torrents at once are not told), too many, or not info hashes.
    """
    named = [value for name, value in _parameters(request.query) if name == b"info_hash"]
    if not named:
        raise Refusal("missing info_hash: say which torrents; all at once are not told")
    if len(named) > MOST_SCRAPED:
        raise Refusal(f"too many torrents at once: {len(named)}, at most {MOST_SCRAPED}")
    if any(len(info_hash) != 20 for info_hash in named):
        raise Refusal("invalid info_hash: it has 20 bytes")
    return list(dict.fromkeys(named))


def announced(announce: Announce, told: Told, interval: int, min_interval: int) -> bytes:
    """The answer to an announce; times in seconds."""
    answer: dict[str, object] = {
        "complete": told.counted.seeders,
        "downloaded": told.counted.completed,
        "external ip": host_of(announce.asker.host).packed,
        "incomplete": told.counted.leechers,
        "interval": interval,
        "min interval": min_interval,
    }
    if announce.is_compact:
        answer["peers"] = b"".join(told.v4)
        if told.v6 or announce.spot.is_v6:
            answer["peers6"] = b"".join(told.v6)
    else:
        answer["peers"] = [_listed(compact, told, announce.with_ids) for compact in told.v4 + told.v6]
    return encode(answer)


def scrape_answer(numbers: Mapping[bytes, Counted]) -> bytes:
    """The answer to a scrape."""
    files = {
        info_hash: {"complete": one.seeders, "downloaded": one.completed, "incomplete": one.leechers}
        for info_hash, one in numbers.items()
    }
    return encode({"files": files})


def refused(reason: str) -> bytes:
    """The answer to who is not given what it asked for."""
    return encode({"failure reason": reason})


def _parameters(query: bytes) -> list[tuple[bytes, bytes]]:
    parts = query.split(b"&", _MOST_PARAMETERS)
    return [(name, _bytes(value)) for name, _, value in (part.partition(b"=") for part in parts)]


def _table(query: bytes) -> dict[bytes, bytes]:
    """Of several parameters with one name the first."""
    return dict(reversed(_parameters(query)))


def _bytes(value: bytes) -> bytes:
    """What was escaped. A plus is a blank, as forms have it: a byte 0x2B comes as %2B from all."""
    return unquote_to_bytes(value.replace(b"+", b" ")) if b"%" in value or b"+" in value else value


def _twenty(table: Mapping[bytes, bytes], name: bytes) -> bytes:
    value = table.get(name, b"")
    if not value:
        raise Refusal(f"missing {name.decode()}")
    if len(value) != 20:
        raise Refusal(f"invalid {name.decode()}: it has 20 bytes, not {len(value)}")
    return value


def _number(value: bytes, name: bytes) -> int:
    if not value:
        return 0
    if not value.isdigit() or len(value) > _MOST_DIGITS:
        raise Refusal(f"invalid {name.decode()}: it is a number")
    return int(value)


def _port(table: Mapping[bytes, bytes]) -> int:
    """0 is allowed: it says that nobody can connect."""
    value = table.get(b"port", b"")
    if not value:
        raise Refusal("missing port")
    port = _number(value, b"port")
    if port > 65535:
        raise Refusal("invalid port: it is 65535 at most")
    return port


def _wanted(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else DEFAULT_WANTED


def _key(value: bytes) -> bytes:
    """As UDP has it where it can be: a peer that asks over both is one peer."""
    if 0 < len(value) <= 8:
        try:
            return int(value, 16).to_bytes(4, "big")
        except (ValueError, OverflowError):
            return value
    return value[:_LONGEST_KEY]


def _listed(compact: bytes, told: Told, with_ids: bool) -> dict[str, object]:
    """A peer as BEP 3 has it."""
    peer: dict[str, object] = {"ip": str(ip_address(compact[:-2])), "port": int.from_bytes(compact[-2:], "big")}
    return {**peer, "peer id": told.id_at(compact)} if with_ids else peer
