"""Every way in which a tracker answers over UDP, by its name: what it does, and what a client should tell of it.

Source: BEP 15 for what is right. Whoever can send a datagram can say he is the tracker: what does not answer an open
question is to be ignored, so that most of what is wrong here looks like silence.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from anabranch.tracker import ErrorType

from .http_tracker_scripts import PEERS
from .scene import Pause
from .tracker_talk import FOREVER, Elsewhere, OverUdp, TrackerKind, UdpQuestion, UdpScript, UdpStep

CONNECT, ANNOUNCE, SCRAPE, ERROR = range(4)
_ID = b"CONNECTD"
_FLOOD = 100  # datagrams for each question; more would fill the buffer in which replies of others are, too
_LATE = ErrorType.TIMEOUT
_FAILURE = ErrorType.TRACKER_FAILURE
_BARRED = ErrorType.AUTHENTICATION_FAILED
_UNREGISTERED = ErrorType.TORRENT_NOT_REGISTERED
_NO_ID = ErrorType.UDP_CONNECTION_ERROR


def right(question: UdpQuestion) -> bytes:
    """What an honest tracker says."""
    if question.action == CONNECT:
        return struct.pack(">I4s8s", CONNECT, question.transaction, _ID)
    if question.action == ANNOUNCE:
        return struct.pack(">I4sIII", ANNOUNCE, question.transaction, 1800, 4, 3) + PEERS
    numbers = struct.pack(">III", 3, 5, 4) * len(question.info_hashes)
    return struct.pack(">I4s", SCRAPE, question.transaction) + numbers


def honest(question: UdpQuestion) -> Iterator[UdpStep]:
    """Two peers, or the numbers of whatever is asked about."""
    yield right(question)


def silent(question: UdpQuestion) -> Iterator[UdpStep]:
    """Nothing."""
    yield from ()


def error(words: bytes, question: UdpQuestion) -> bytes:
    """The datagram that refuses."""
    return struct.pack(">I4s", ERROR, question.transaction) + words


def refusing(words: bytes, *, at: int = ANNOUNCE) -> UdpScript:
    """Who refuses with these words, to connect or (*at*) what comes after."""

    def script(question: UdpQuestion) -> Iterator[UdpStep]:
        yield error(words, question) if (question.action == CONNECT) == (at == CONNECT) else right(question)

    return script


def after_connecting(script: UdpScript) -> UdpScript:
    """Who gives a connection id, and is like that from there on."""

    def whole(question: UdpQuestion) -> Iterator[UdpStep]:
        yield from honest(question) if question.action == CONNECT else script(question)

    return whole


def cut(length: int, *, at: int) -> UdpScript:
    """Who sends only so many bytes of a right reply."""

    def script(question: UdpQuestion) -> Iterator[UdpStep]:
        reply = right(question)
        yield reply[:length] if (question.action == CONNECT) == (at == CONNECT) else reply

    return script


def _wrong_number(question: UdpQuestion) -> Iterator[UdpStep]:
    reply = right(question)
    for turned in (1, 0x80):
        yield reply[:4] + bytes([reply[4] ^ turned]) + reply[5:]
    yield reply[:4] + bytes(4) + reply[8:]


def _wrong_action(question: UdpQuestion) -> Iterator[UdpStep]:
    reply = right(question)
    for action in (0, 1, 2, 4, 255, 2**32 - 1):
        if action != question.action:
            yield struct.pack(">I", action) + reply[4:]


def _from_elsewhere(question: UdpQuestion) -> Iterator[UdpStep]:
    yield Elsewhere(right(question))


def _from_abroad(question: UdpQuestion) -> Iterator[UdpStep]:
    yield Elsewhere(right(question), abroad=True)


def _echo(question: UdpQuestion) -> Iterator[UdpStep]:
    said = b"Unknown torrent: " + question.datagram[98:]  # what follows an announce: the URL's path (BEP 41)
    yield right(question) if question.action == CONNECT else error(said, question)


def _twice(question: UdpQuestion) -> Iterator[UdpStep]:
    yield right(question)
    yield right(question)
    yield error(b"forget it", question)


def _late(question: UdpQuestion) -> Iterator[UdpStep]:
    yield Pause(FOREVER)
    yield right(question)


def _soon(question: UdpQuestion) -> Iterator[UdpStep]:
    yield Pause(0.05)
    yield right(question)


def _large(question: UdpQuestion) -> Iterator[UdpStep]:
    reply = right(question)
    yield reply + PEERS * ((65_000 - len(reply)) // len(PEERS)) if question.action == ANNOUNCE else reply


def _noise(question: UdpQuestion) -> Iterator[UdpStep]:
    for number in range(_FLOOD):
        yield question.draw.randbytes(question.draw.randrange(100))
        if number % 20 == 0:
            yield Pause(0.001)


def _noise_and_right(question: UdpQuestion) -> Iterator[UdpStep]:
    for _ in range(50):
        yield question.draw.randbytes(question.draw.randrange(100))
    yield b""
    yield right(question)


def _forgetful(question: UdpQuestion) -> Iterator[UdpStep]:
    known = question.action == CONNECT or question.number >= 3  # the first question's id is none; a second one is good
    yield right(question) if known else error(b"Connection ID missmatch.\0", question)


def _other_values(question: UdpQuestion) -> Iterator[UdpStep]:
    for_nobody = bytes([0, 0, 0, 0, 0x1A, 0xE1, 224, 0, 0, 1, 0x1A, 0xE1, 192, 0, 2, 9, 0, 0])
    announced = struct.pack(">I4sIII", ANNOUNCE, question.transaction, 0, 2**32 - 1, 2**32 - 1) + for_nobody + b"xx"
    yield announced if question.action == ANNOUNCE else right(question)


def _zero_id(question: UdpQuestion) -> Iterator[UdpStep]:
    connected = struct.pack(">I4s8s", CONNECT, question.transaction, bytes(8))
    yield connected if question.action == CONNECT else right(question)


def _kind(about: str, script: UdpScript, error_type: ErrorType | None = None, words: str = "") -> TrackerKind:
    return TrackerKind(about, OverUdp(script), error_type, words)


_REFUSALS: Mapping[str, tuple[bytes, ErrorType, str]] = {
    "unregistered": (b"Torrent not registered with this tracker", _UNREGISTERED, "not registered"),
    "capital": (b"Unregistered torrent", _UNREGISTERED, "unregistered"),
    "whitelist": (b"Requested download is not authorized for use with this tracker.", _UNREGISTERED, "requested"),
    "passkey": (b"Passkey not found", _BARRED, "passkey"),
    "banned": (b"BANNED\0", _BARRED, "banned"),
    "other": (b"overloaded, come back at 5:03", _FAILURE, "overloaded"),
    "escapes": (b"\x1b[2JBoo\x07\r\nlog line\0\0", _FAILURE, "boo"),
    "latin-1": ("Torrent supprimé".encode("latin-1"), _FAILURE, "torrent supprim"),
    "long": (b"because " * 8000, _FAILURE, "because because"),
    "empty": (b"", _FAILURE, "reason"),
}


def _refusals() -> Iterator[tuple[str, TrackerKind]]:
    for name, (said, told, words) in _REFUSALS.items():
        yield f"udp-reason-{name}", _kind(f"refuses: {said[:60]!r}", refusing(said), told, words)
    yield "udp-reason-echo", _kind("repeats the URL in its reason", _echo, _UNREGISTERED, "unknown torrent")
    yield "udp-refuses-connect", _kind("refuses to connect", refusing(b"too busy", at=CONNECT), _FAILURE, "busy")
    banned = refusing(b"Your IP is banned", at=CONNECT)
    yield "udp-bans-connect", _kind("refuses to connect: banned", banned, _BARRED, "banned")
    lost = refusing(b"Connection ID missmatch.")
    yield "udp-forgets-ids", _kind("never knows its own connection id", lost, _NO_ID, "connection id")


def _short() -> Iterator[tuple[str, TrackerKind]]:
    for length in (0, 1, 7, 8, 15):
        told, words = (_LATE, "no answer") if length < 8 else (_NO_ID, "connection id")
        yield f"udp-connect-{length}", _kind(f"connects in {length} bytes", cut(length, at=CONNECT), told, words)
    for length in (0, 7, 9, 12, 19):
        told, words = (_LATE, "no answer") if length < 8 else (_FAILURE, "cut off")
        yield f"udp-announce-{length}", _kind(f"answers in {length} bytes", cut(length, at=ANNOUNCE), told, words)
    shortest = cut(8, at=ANNOUNCE)
    yield "udp-announce-8", _kind("refuses as opentracker does, in 8 bytes", shortest, _UNREGISTERED, "reason")


UDP_KINDS: Mapping[str, TrackerKind] = {
    "udp-honest": _kind("two peers", honest),
    "udp-twice": _kind("says all twice, and then takes it back", _twice),
    "udp-slow": _kind("a moment later", _soon),
    "udp-large": _kind("more peers than anybody dials, in one datagram", _large),
    "udp-noise-and-right": _kind("noise, and a right reply", _noise_and_right),
    "udp-forgets-once": _kind("forgets its first connection id", _forgetful),
    "udp-values": _kind("values and peers that nobody can use", _other_values),
    "udp-id-zero": _kind("a connection id of zeros", _zero_id),
    "udp-peers-cut": _kind("a peer and a half", cut(20 + 9, at=ANNOUNCE)),
    "udp-silent": _kind("nothing", silent, _LATE, "no answer"),
    "udp-silent-then": _kind("connects, and nothing more", after_connecting(silent), _LATE, "no answer"),
    "udp-wrong-number": _kind("replies to another question", _wrong_number, _LATE, "no answer"),
    "udp-wrong-number-then": _kind("connects; other replies", after_connecting(_wrong_number), _LATE, "no answer"),
    "udp-wrong-action": _kind("replies of another kind", _wrong_action, _NO_ID, "connection id"),
    "udp-wrong-action-then": _kind(
        "connects; replies of other kinds", after_connecting(_wrong_action), _FAILURE, "something else"
    ),
    "udp-elsewhere": _kind("replies from another port", _from_elsewhere, _LATE, "no answer"),
    "udp-elsewhere-then": _kind("connects; replies from another port", after_connecting(_from_elsewhere), _LATE),
    "udp-abroad": _kind("replies from another address", _from_abroad, _LATE, "no answer"),
    "udp-late": _kind("replies when nobody waits any more", _late, _LATE, "no answer"),
    "udp-noise": _kind(f"{_FLOOD} datagrams of noise for each question", _noise, _LATE, "no answer"),
    "udp-noise-then": _kind("connects, and then noise", after_connecting(_noise), _LATE, "no answer"),
    **dict(_short()),
    **dict(_refusals()),
}
