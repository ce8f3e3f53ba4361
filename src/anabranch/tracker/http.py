"""Trackers over HTTP: the paths that ask, and the bencoded answers.

Source: BEP 3, with BEP 7 (peers6, ipv4, ipv6), BEP 23 (compact), BEP 24 (external ip), BEP 31 (retry in), BEP 48
(scrape).
Order and spelling of the parameters are those of libtorrent 2.1.1, which the client we name ourselves after is made of.
Answers come from a stranger: one value of the wrong kind is passed over, it does not spoil the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import inf

from anabranch.bencode import BencodeError, Limits, Value, decode
from anabranch.model import Address, canonical_host

from .faults import FaultKind, TrackerFault
from .messages import (
    DEFAULT_INTERVAL,
    MOST_PEERS,
    AnnounceReply,
    AnnounceRequest,
    Event,
    ScrapeReply,
    compact_peers,
    interval_of,
    packed_host,
    shown,
)

MAX_REPLY = 4 * 1024 * 1024  # bytes, unpacked; a full scrape of a large tracker is more, and we ask for none
MAX_SCRAPED = 50  # torrents of one scrape: the URL stays well below the 8 KiB that servers take
_LIMITS = Limits(depth=16, items=200_000, string_length=MAX_REPLY)
_LONGEST_ID = 1024  # bytes of a tracker id; it goes into every later URL
_LARGEST_COUNT = 2**53  # above this a count is nonsense, and JSON could not say it
_AS_IT_IS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*()")
_ESCAPED = [chr(byte) if byte in _AS_IT_IS else f"%{byte:02x}" for byte in range(256)]


def announce_target(target: str, request: AnnounceRequest) -> str:
    """Path and query that announce: the tracker's own, byte for byte, and our parameters behind its own."""
    parameters = [
        f"info_hash={escaped(request.info_hash)}",
        f"peer_id={escaped(request.peer_id)}",
        f"port={request.port}",
        f"uploaded={request.uploaded}",
        f"downloaded={request.downloaded}",
        f"left={request.left}",
        f"corrupt={request.corrupt}",
        f"key={request.key:08X}",
    ]
    if request.event is not Event.NONE:
        parameters.append(f"event={request.event.name.lower()}")
    parameters += [f"numwant={request.peers_wanted}", "compact=1", "no_peer_id=1"]
    if request.requires_encryption:
        parameters.append("requirecrypto=1")
    elif request.supports_encryption:
        parameters.append("supportcrypto=1")
    parameters.append(f"redundant={request.redundant}")
    if request.tracker_id:
        parameters.append(f"trackerid={escaped(request.tracker_id)}")
    if request.ipv4 is not None:
        parameters.append(f"ipv4={request.ipv4}")
    if request.ipv6 is not None:
        parameters.append(f"ipv6={escaped(request.ipv6.encode())}")
    return _with(target, parameters)


def scrape_target(target: str, info_hashes: Sequence[bytes]) -> str:
    """Path and query that ask for numbers, made of those that announce.

    Raises:
        TrackerFault: by its announce URL the tracker has none (BEP 48): its last part does not begin with "announce".
    """
    path, mark, query = target.partition("?")
    before, slash, last = path.rpartition("/")
    if not last.startswith("announce"):
        raise TrackerFault(FaultKind.NO_SCRAPE, "this tracker's URL has no 'announce' to make 'scrape' of")
    scraping = f"{before}{slash}scrape{last.removeprefix('announce')}{mark}{query}"
    return _with(scraping, [f"info_hash={escaped(info_hash)}" for info_hash in info_hashes])


def read_announce(body: bytes) -> AnnounceReply:
    """Read what a tracker answered to an announce.

    Raises:
        TrackerFault: it refused, or this is no answer.
    """
    table = _table(body)
    peers = dict.fromkeys(_peers(table))
    tracker_id = table.get(b"tracker id")
    warning = table.get(b"warning message")
    external = table.get(b"external ip")
    return AnnounceReply(
        interval=interval_of(_count(table, b"interval") or DEFAULT_INTERVAL),
        min_interval=interval_of(least) if (least := _count(table, b"min interval")) else None,
        seeders=_count(table, b"complete"),
        leechers=_count(table, b"incomplete"),
        downloaded=_count(table, b"downloaded"),
        peers=tuple(islice(peers, MOST_PEERS)),
        external_ip=packed_host(external) if isinstance(external, bytes) else None,
        warning=shown(warning) if isinstance(warning, bytes) else "",
        tracker_id=tracker_id if isinstance(tracker_id, bytes) and len(tracker_id) <= _LONGEST_ID else b"",
    )


def read_scrape(body: bytes, info_hashes: Sequence[bytes]) -> dict[bytes, ScrapeReply]:
    """Read what a tracker answered to a scrape: what it said of the torrents that it was asked about.

    Raises:
        TrackerFault: it refused, or this is no answer.
    """
    files = _table(body).get(b"files")
    if not isinstance(files, dict):
        raise TrackerFault(FaultKind.REPLY, "the scrape reply has no 'files'")
    return {
        info_hash: ScrapeReply(
            _count(numbers, b"complete"), _count(numbers, b"downloaded"), _count(numbers, b"incomplete")
        )
        for info_hash in info_hashes
        if isinstance(numbers := files.get(info_hash), dict)
    }


def status_fault(status: int, reason: str, body: bytes) -> TrackerFault:
    """What a reply with a status other than 200 says: some trackers put their reason into its body."""
    try:
        _table(body)
    except TrackerFault as fault:
        if fault.kind is FaultKind.REFUSED:
            return TrackerFault(fault.kind, fault.text, status=status, retry_in=fault.retry_in)
    words = shown(reason.encode("utf-8", "replace"))
    return TrackerFault(FaultKind.STATUS, f"the tracker answered {f'{status} {words}'.strip()}", status=status)


def escaped(raw: bytes) -> str:
    """Bytes as they stand in a query, percent-encoded where they must be."""
    return "".join([_ESCAPED[byte] for byte in raw])


def _with(target: str, parameters: list[str]) -> str:
    path, _, query = target.partition("?")
    if query and not query.endswith("&"):
        query += "&"
    return f"{path}?{query}{'&'.join(parameters)}"


def _table(body: bytes) -> dict[bytes, Value]:
    try:
        value = decode(body, lenient=True, limits=_LIMITS)
    except BencodeError as bad:
        raise TrackerFault(FaultKind.REPLY, f"the reply is not bencoded: {_glimpse(body)}") from bad
    if not isinstance(value, dict):
        raise TrackerFault(FaultKind.REPLY, f"the reply is no dictionary: {_glimpse(body)}")
    reason = value.get(b"failure reason")
    if reason is not None:
        words = shown(reason) if isinstance(reason, bytes) else ""
        raise TrackerFault(FaultKind.REFUSED, words or "refused without a reason", retry_in=_retry_in(value))
    return value


def _glimpse(body: bytes) -> str:
    return f"it begins with {shown(body[:16])!r}" if body else "it is empty"


def _retry_in(table: Mapping[bytes, Value]) -> float | None:
    """BEP 31: minutes, or "never"."""
    match table.get(b"retry in"):
        case b"never":
            return inf
        case bytes(digits) if digits.isdigit() and len(digits) < 8:
            return 60.0 * int(digits)
        case int(minutes) if 0 <= minutes < 10**8:
            return 60.0 * minutes
        case _:
            return None


def _count(table: Mapping[bytes, Value], key: bytes) -> int | None:
    count = table.get(key)
    return count if isinstance(count, int) and 0 <= count <= _LARGEST_COUNT else None


def _peers(table: Mapping[bytes, Value]) -> Iterator[Address]:
    match table.get(b"peers"):
        case bytes(compact):
            yield from compact_peers(compact, v6=False)
        case list(listed):
            yield from _listed_peers(listed)
    match table.get(b"peers6"):
        case bytes(compact):
            yield from compact_peers(compact, v6=True)
        case list(listed):
            yield from _listed_peers(listed)


def _listed_peers(listed: list[Value]) -> Iterator[Address]:
    """BEP 3's first form. Host names, which it allows, are passed over: a tracker should not make us ask the DNS."""
    for peer in listed[:MOST_PEERS]:
        match peer:
            case {b"ip": bytes(host), b"port": int(port)} if 0 < port <= 65535 and host.isascii():
                try:
                    yield Address(canonical_host(host.decode()), port)
                except ValueError:
                    continue
