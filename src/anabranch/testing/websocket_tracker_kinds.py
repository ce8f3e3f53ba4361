"""Every way in which a tracker for browsers answers, by its name: what it does, and what a client should tell of it.

Source: RFC 6455 for what is right below; above it, JSON messages as the trackers of WebTorrent have them, with binary
strings of a character for each byte.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator, Mapping
from hashlib import sha1
from typing import TypeAlias

from anabranch.tracker import ErrorType

from .http_tracker_scripts import DIGITS, whole
from .scene import Hear, Pause, Reset
from .tracker_talk import FOREVER, Line, LineScript, LineStep, OverTcp, TrackerKind

_KEY_END = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
_PART = 0.05  # seconds
_LATE = ErrorType.TIMEOUT
_FAILURE = ErrorType.TRACKER_FAILURE
_NETWORK = ErrorType.NETWORK_ERROR
_BARRED = ErrorType.AUTHENTICATION_FAILED
_UNREGISTERED = ErrorType.TORRENT_NOT_REGISTERED

Message: TypeAlias = dict[str, object]
Steps: TypeAlias = Generator[LineStep, None, None]
_Reply = Callable[[Message], Iterator[LineStep]]


def frame(payload: bytes, kind: int = TEXT, *, first: int = 0x80, length: int | None = None) -> bytes:
    """A server's frame.

    Args:
        payload: What it carries.
        kind: Its opcode.
        first: The flags before that: 0x80 for a frame that ends its message.
        length: What it says of its length, if that is not the payload's.
    """
    claimed = len(payload) if length is None else length
    if claimed < 126:
        size = bytes([claimed])
    elif claimed < 2**16:
        size = b"\x7e" + claimed.to_bytes(2, "big")
    else:
        size = b"\x7f" + claimed.to_bytes(8, "big")
    return bytes([first | kind]) + size + payload


def said(message: object) -> bytes:
    """A message in a frame."""
    return frame(json.dumps(message).encode())


def _head(line: Line) -> Generator[LineStep, None, dict[str, str]]:
    while (end := line.heard.find(b"\r\n\r\n")) < 0:
        yield Hear(FOREVER)
    lines = bytes(line.heard[:end]).decode("latin-1").split("\r\n")[1:]
    del line.heard[: end + 4]
    return {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}


def welcome(line: Line) -> Steps:
    """Agree to speak WebSocket, as it should be."""
    headers = yield from _head(line)
    accept = b64encode(sha1(headers.get("sec-websocket-key", "").encode() + _KEY_END).digest()).decode()
    yield _upgraded(f"Sec-WebSocket-Accept: {accept}")


def _upgraded(*headers: str) -> bytes:
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def next_message(line: Line) -> Generator[LineStep, None, Message | None]:
    """The next message of the client's; None when it has closed. Its other frames are passed over."""
    while True:
        taken = _frame_in(line.heard)
        if taken is not None:
            kind, payload = taken
            if kind == CLOSE:
                return None
            if kind in (TEXT, BINARY):
                message = json.loads(payload)
                return message if isinstance(message, dict) else {}
        else:
            yield Hear(FOREVER)


def _frame_in(heard: bytearray) -> tuple[int, bytes] | None:
    """Take a client's frame, which is masked (RFC 6455, 5.3), off what was heard, if all of it is there."""
    if len(heard) < 2:
        return None
    length, at = heard[1] & 0x7F, 2
    if length >= 126:
        at = 4 if length == 126 else 10
        length = int.from_bytes(heard[2:at], "big")
    if len(heard) < at + 4 + length:
        return None
    mask, body = bytes(heard[at : at + 4]), bytes(heard[at + 4 : at + 4 + length])
    kind = heard[0] & 0x0F
    del heard[: at + 4 + length]
    return kind, bytes(byte ^ mask[place % 4] for place, byte in enumerate(body))


def replying(reply: _Reply) -> LineScript:
    """Who welcomes everybody and answers each message so."""

    def script(line: Line) -> Steps:
        yield from welcome(line)
        while (message := (yield from next_message(line))) is not None:
            yield from reply(message)

    return script


def told(message: Message) -> Message:
    """What an honest tracker says."""
    if message.get("action") == "scrape":
        asked = message.get("info_hash")
        hashes = asked if isinstance(asked, list) else [asked]
        numbers = {"complete": 3, "incomplete": 4, "downloaded": 5}
        return {"action": "scrape", "files": {str(one): numbers for one in hashes}}
    base = {"action": "announce", "interval": 120, "info_hash": message.get("info_hash")}
    return {**base, "complete": 3, "incomplete": 4}


def with_changes(**changes: object) -> LineScript:
    """Who answers with other values than the honest one; None takes a key away, "_" is a space but in info_hash."""

    def reply(message: Message) -> Iterator[LineStep]:
        new = {name if name == "info_hash" else name.replace("_", " "): value for name, value in changes.items()}
        yield said({key: value for key, value in (told(message) | new).items() if value is not None})

    return replying(reply)


def _honest(message: Message) -> Iterator[LineStep]:
    yield said(told(message))


def _binary(message: Message) -> Iterator[LineStep]:
    yield frame(json.dumps(told(message)).encode(), BINARY)


def _in_fragments(message: Message) -> Iterator[LineStep]:
    text = json.dumps(told(message)).encode()
    yield frame(text[:9], first=0)
    yield frame(b"still there?", PING)
    yield frame(text[9:20], 0, first=0)
    yield Pause(_PART)
    yield frame(text[20:], 0)


def _byte_by_byte(message: Message) -> Iterator[LineStep]:
    for byte in said(told(message)):
        yield bytes([byte])


def _with_offers(message: Message) -> Iterator[LineStep]:
    offer = {"type": "offer", "sdp": "v=0\r\n"}
    start = {"action": "announce", "info_hash": message.get("info_hash"), "peer_id": "p" * 20}
    yield said(start | {"offer": offer, "offer_id": "o" * 20})
    yield said(start | {"offer": 5, "offer_id": []})
    yield said(start | {"answer": {"type": "answer", "sdp": "v=0\r\n"}, "offer_id": "o" * 20})
    yield said(told(message))


def _nonsense_and_right(message: Message) -> Iterator[LineStep]:
    for one in (b"", b"[]", b"null", b"{", b'{"action": 5}', b'{"action": "announce", "info_hash": {}}', b"\x00"):
        yield frame(one)
    yield said(told(message))


def sending(payload: bytes, kind: int = TEXT, first: int = 0x80, length: int | None = None) -> LineScript:
    """Who answers everything with that frame."""

    def reply(message: Message) -> Iterator[LineStep]:
        yield frame(payload, kind, first=first, length=length)

    return replying(reply)


def _flood(message: Message) -> Iterator[LineStep]:
    while True:
        yield said(told(message) | {"info_hash": "x" * 20}) * 100
        yield Pause(0.001)


def _ping_flood(message: Message) -> Iterator[LineStep]:
    while True:
        yield frame(bytes(125), PING) * 100
        yield Pause(0.001)


def answering(reply: bytes, *, goes_on: bool = False) -> LineScript:
    """Who answers the request for an upgrade with that, and ends the connection if it does not *go on*."""

    def script(line: Line) -> Steps:
        yield from _head(line)
        yield reply
        if goes_on:
            yield Pause(FOREVER)

    return script


def closing(*codes: bytes, reset: bool = False) -> LineScript:
    """Who hears a message, sends close frames of these payloads and ends the connection."""

    def script(line: Line) -> Steps:
        yield from welcome(line)
        yield from next_message(line)
        for code in codes:
            yield frame(code, CLOSE)
        if reset:
            yield Reset()

    return script


def _welcoming_only(line: Line) -> Steps:
    yield from welcome(line)


def _silent(line: Line) -> Steps:
    yield Pause(FOREVER)


def _nothing(message: Message) -> Iterator[LineStep]:
    yield from ()


def _kind(about: str, script: LineScript, error_type: ErrorType | None = None, words: str = "") -> TrackerKind:
    return TrackerKind(about, OverTcp(script, "ws"), error_type, words)


_DEEP = b'{"action":"announce","files":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

_RIGHT = {
    "ws-honest": _kind("numbers, and whoever offers to connect", replying(_honest)),
    "ws-binary": _kind("messages as bytes", replying(_binary)),
    "ws-fragments": _kind("a message in fragments with a ping between", replying(_in_fragments)),
    "ws-bytes": _kind("a message byte by byte", replying(_byte_by_byte)),
    "ws-offers": _kind("offers of other peers first, some broken", replying(_with_offers)),
    "ws-nonsense-and-right": _kind("nonsense first", replying(_nonsense_and_right)),
    "ws-counts-odd": _kind("counts in words", with_changes(complete="many", incomplete=[], interval=-5)),
    "ws-counts-huge": _kind("counts beyond measure", with_changes(complete=1e308, incomplete=float("nan"))),
    "ws-interval-endless": _kind("an endless interval", with_changes(interval=float("inf"))),
    "ws-warning": _kind("a warning of escapes", with_changes(warning_message="\x1b[2Jcareful\r\n")),
}

_REFUSING = {
    "ws-reason": _kind("refuses the torrent", with_changes(failure_reason="Unregistered torrent"), _UNREGISTERED),
    "ws-reason-passkey": _kind("refuses the user", with_changes(failure_reason="PASSKEY invalid"), _BARRED, "passkey"),
    "ws-reason-other": _kind("refuses", with_changes(failure_reason="503 timeout"), _FAILURE, "503 timeout"),
    "ws-reason-escapes": _kind("refuses", with_changes(failure_reason="\x1b[2JBoo\r\n\x00"), _FAILURE, "boo"),
    "ws-reason-number": _kind("refuses with a number", with_changes(failure_reason=404), _FAILURE),
    "ws-reason-alone": _kind("refuses and does not say what", sending(b'{"failure reason":"no"}'), _FAILURE, "no"),
    "ws-status-200": _kind("200 and a page", answering(whole(DIGITS)), ErrorType.TRACKER_HTTP_ERROR, "200"),
    "ws-status-404": _kind("404", answering(whole(DIGITS, status=404)), ErrorType.TRACKER_NOT_FOUND, "404"),
    "ws-status-403": _kind("403", answering(whole(DIGITS, status=403)), _BARRED, "403"),
    "ws-status-503": _kind("503", answering(whole(DIGITS, status=503)), ErrorType.TRACKER_UNAVAILABLE, "503"),
    "ws-redirects": _kind(
        "to somewhere else", answering(whole(b"", "Location: http://169.254.169.254/", status=302)), _FAILURE
    ),
}

_BROKEN = {
    "ws-no-key": _kind("an upgrade without its key", answering(_upgraded(), goes_on=True), _FAILURE),
    "ws-wrong-key": _kind(
        "an upgrade with another key", answering(_upgraded("Sec-WebSocket-Accept: bm8="), goes_on=True), _FAILURE
    ),
    "ws-no-http": _kind("something that is no HTTP", answering(b"hello\r\n\r\n"), _FAILURE),
    "ws-hangs-up": _kind("ends the connection at the question", answering(b""), _NETWORK),
    "ws-half-head": _kind("half a head and the end", answering(b"HTTP/1.1 101 Switching"), _FAILURE),
    "ws-ends": _kind("welcomes and ends the connection", _welcoming_only, _NETWORK),
    "ws-ends-at-question": _kind("hears and ends the connection", closing(), _NETWORK),
    "ws-resets": _kind("hears and resets the connection", closing(reset=True), _NETWORK),
    "ws-closes": _kind("closes in order", closing(b"\x03\xe8bye"), _NETWORK),
    "ws-closes-policy": _kind("closes for its policy", closing(b"\x03\xf0404 passkey \x1b[2J"), _NETWORK),
    "ws-closes-odd": _kind("closes with a code that is none", closing(b"\x00\x01\xff"), ErrorType.TRACKER_FAILURE),
    "ws-huge-frame": _kind("a frame of a terabyte, as it says", sending(b"{", length=2**40), _FAILURE),
    "ws-huge-message": _kind("a message of three megabytes", sending(b'"' + b"x" * 3_000_000 + b'"'), _FAILURE),
    "ws-not-utf-8": _kind("text that is none", sending(b'{"action": "\xff\xfe"}'), _FAILURE),
    "ws-reserved": _kind("a frame of no known kind", sending(b"{}", 5), _FAILURE),
    "ws-packed": _kind("a frame packed in a way that was not agreed on", sending(b"{}", first=0xC0), _FAILURE),
}

_HOLDING = {
    "ws-silent-head": _kind("takes the connection and says nothing", _silent, _LATE, "no answer"),
    "ws-silent": _kind("welcomes and says nothing", replying(_nothing), _LATE, "no answer"),
    "ws-other-hash": _kind("answers of another torrent", with_changes(info_hash="x" * 20), _LATE, "no answer"),
    "ws-no-hash": _kind("answers that name no torrent", with_changes(info_hash=None), _LATE, "no answer"),
    "ws-garbage": _kind("text that is no JSON", sending(b"404 passkey"), _LATE, "no answer"),
    "ws-list": _kind("JSON that is no object", sending(b"[1, 2]"), _LATE, "no answer"),
    "ws-deep": _kind("lists in lists, 100,000 deep", sending(_DEEP), _LATE, "no answer"),
    "ws-long-number": _kind("a number of 200,000 digits", sending(b'{"a":' + b"9" * 200_000 + b"}"), _LATE),
    "ws-flood": _kind("messages without end", replying(_flood), _LATE),
    "ws-ping-flood": _kind("pings without end", replying(_ping_flood), _LATE),
}

WEBSOCKET_KINDS: Mapping[str, TrackerKind] = _RIGHT | _REFUSING | _BROKEN | _HOLDING
