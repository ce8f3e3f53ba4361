"""Trackers over HTTP: the paths that ask, and the bencoded answers.

Source: BEP 3, with BEP 7 (peers6, ipv4, ipv6), BEP 23 (compact), BEP 24 (external ip), BEP 31 (retry in), BEP 48
(scrape).
Order and spelling of the parameters are those of libtorrent 2.1.1, which the client we name ourselves after is made of.
Answers come from a stranger: one value of the wrong kind is passed over, it does not spoil the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import inf

from anabranch.bencode import BencodeError, Limits, Value, decode
from anabranch.model import Address, canonical_host

from .faults import ErrorType, FaultKind, TrackerFault, refusal
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
from .reasons import category_of_reason

MAX_REPLY = 4 * 1024 * 1024  # bytes, unpacked; a full scrape of a large tracker is more, and we ask for none
MAX_SCRAPED = 50  # torrents of one scrape: the URL stays well below the 8 KiB that servers take
_LIMITS = Limits(depth=16, items=200_000, string_length=MAX_REPLY, integer_digits=100)  # nonsense spoils only itself
_LONGEST_ID = 1024  # bytes of a tracker id; it goes into every later URL
_LARGEST_COUNT = 2**53  # above this a count is nonsense, and JSON could not say it
_AS_IT_IS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*()")
_BEFORE = b"\xef\xbb\xbf \t\r\n"  # what scripts say without their authors' knowing: a byte order mark, an empty line
_MARKUP = re.compile(rb"<[!?a-z]", re.IGNORECASE)
_WORD = re.compile(rb"[A-Za-z]{1,12}(?![A-Za-z0-9])")
_NAME = re.compile(rb"[A-Za-z0-9.:_-]+")
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
    tracker_id = _named(table, b"tracker id")
    warning = _named(table, b"warning message")
    external = _named(table, b"external ip")
    return AnnounceReply(
        interval=interval_of(_count(table, b"interval") or DEFAULT_INTERVAL),
        min_interval=interval_of(least) if (least := _number(_named(table, b"min interval"))) else None,
        seeders=_count(table, b"complete"),
        leechers=_count(table, b"incomplete"),
        downloaded=_count(table, b"downloaded"),
        peers=tuple(islice(peers, MOST_PEERS)),
        external_ip=_host_of(external) or (packed_host(external) if isinstance(external, bytes) else None),
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
        if isinstance(numbers := files.get(info_hash, files.get(_as_text(info_hash))), dict)
    }


def _as_text(info_hash: bytes) -> bytes:
    """How npm's bittorrent-tracker (11.2.3) spells it in a scrape: every byte as a character, in UTF-8."""
    return info_hash.decode("latin-1").encode()


def status_fault(status: int, reason: str, body: bytes, retry_after: str = "") -> TrackerFault:
    """What a reply with a status other than 200 says: some trackers put their reason into its body.

    Args:
        status: HTTP's number.
        reason: The server's words for it.
        body: What came with it.
        retry_after: The header of that name; where it is a number, those are seconds (RFC 9110, 10.2.3).
    """
    digits = retry_after.strip()
    retry_in = float(digits) if digits.isascii() and digits.isdigit() and len(digits) < 8 else None
    words = shown(reason.encode("utf-8", "replace"))
    text = f"the tracker answered {f'{status} {words}'.strip()}"
    try:
        _table(body)
    except TrackerFault as fault:
        if fault.kind is FaultKind.REFUSED:
            retry_in = retry_in if fault.retry_in is None else fault.retry_in
            # where the words say little, the status is what it is told by
            vague = category_of_reason(fault.reason) is ErrorType.TRACKER_FAILURE
            text = f"{text}: {fault.text}" if vague else fault.text
            return TrackerFault(fault.kind, text, status=status, retry_in=retry_in, reason=fault.reason)
    return TrackerFault(FaultKind.STATUS, text, status=status, retry_in=retry_in)


def escaped(raw: bytes) -> str:
    """Bytes as they stand in a query, percent-encoded where they must be."""
    return "".join([_ESCAPED[byte] for byte in raw])


def _with(target: str, parameters: list[str]) -> str:
    path, _, query = target.partition("?")
    if query and not query.endswith("&"):
        query += "&"
    return f"{path}?{query}{'&'.join(parameters)}"


def _table(body: bytes) -> dict[bytes, Value]:
    body = body.lstrip(_BEFORE)
    try:
        value = decode(body, lenient=True, limits=_LIMITS)
    except BencodeError as bad:
        if _MARKUP.match(body):
            raise TrackerFault(FaultKind.PAGE, "the reply is a page for people, not a tracker's answer") from bad
        raise TrackerFault(FaultKind.REPLY, f"the reply is not bencoded: {_glimpse(body)}") from bad
    if not isinstance(value, dict):
        raise TrackerFault(FaultKind.REPLY, f"the reply is no dictionary: {_glimpse(body)}")
    reason = _named(value, b"failure reason")
    if reason is not None:
        words = shown(reason) if isinstance(reason, bytes) else ""
        raise refusal(words, _retry_in(value))
    return value


def _glimpse(body: bytes) -> str:
    """How it begins, as far as that is a plain word: servers repeat what they were asked, and a passkey is in that."""
    word = _WORD.match(body)
    return f"it begins with {word[0].decode()!r}" if word else "it begins with no word" if body else "it is empty"


def _retry_in(table: Mapping[bytes, Value]) -> float | None:
    """BEP 31: minutes, or "never"."""
    match _named(table, b"retry in"):
        case b"never":
            return inf
        case bytes(digits) if digits.isdigit() and len(digits) < 8:
            return 60.0 * int(digits)
        case int(minutes) if 0 <= minutes < 10**8:
            return 60.0 * minutes
        case _:
            return None


def _named(table: Mapping[bytes, Value], name: bytes) -> Value | None:
    """What has that name of two words, which some trackers join."""
    return next((table[key] for key in (name, name.replace(b" ", b"_"), name.replace(b" ", b"")) if key in table), None)


def _count(table: Mapping[bytes, Value], key: bytes) -> int | None:
    return _number(table.get(key))


def _number(value: Value | None) -> int | None:
    """A number that may be one; scripts send digits as a string, too."""
    if isinstance(value, bytes) and value.isdigit() and len(value) < 17:
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= _LARGEST_COUNT else None


def _peers(table: Mapping[bytes, Value]) -> Iterator[Address]:
    for key, v6 in ((b"peers", False), (b"peers6", True)):
        match table.get(key):
            case bytes(compact):
                yield from compact_peers(compact, v6=v6)
            case list(listed):
                yield from _listed_peers(listed)
            case dict(numbered):  # what PHP makes of a list that it took something out of
                yield from _listed_peers(list(numbered.values()))


def _listed_peers(listed: list[Value]) -> Iterator[Address]:
    """BEP 3's first form. Host names, which it allows, are passed over: a tracker should not make us ask the DNS."""
    for peer in listed[:MOST_PEERS]:
        match peer:
            case dict():
                host, port = _host_of(peer.get(b"ip")), _number(peer.get(b"port"))
                if host is not None and port is not None and 0 < port <= 65535:
                    yield Address(host, port)
            case bytes(compact) if len(compact) in (6, 18):
                yield from compact_peers(compact, v6=len(compact) == 18)


def _host_of(value: Value | None) -> str | None:
    """An IP address as text or packed; None for a name, and for all else."""
    if not isinstance(value, bytes):
        return None
    if not _NAME.fullmatch(value):
        return packed_host(value)
    try:
        return canonical_host(value.decode())
    except ValueError:
        return None
