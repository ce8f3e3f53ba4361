"""WebSocket's client half: the upgrade, frames, and what a server may not do. Without a network."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.net import parse_url
from anabranch.tracker import FaultKind, TrackerFault
from anabranch.tracker.websocket_frames import MAX_HEAD, MAX_MESSAGE, WebSocket

SECRET = "0123456789abcdefs3cret"
URL = parse_url(f"wss://a.example/{SECRET}", ("wss",))
NONCE = b64decode("dGhlIHNhbXBsZSBub25jZQ==")  # RFC 6455, 1.3
MASK = bytes.fromhex("37fa213d")  # 5.7
ACCEPT = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
WELCOME = b"\r\n".join(
    [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade", ACCEPT.encode(), b"", b""]
)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def draw(count: int) -> bytes:
    return {16: NONCE, 4: MASK}[count]


def frame(payload: bytes, kind: int = TEXT, *, first: int = 0x80) -> bytes:
    length = len(payload)
    size = (
        bytes([length])
        if length < 126
        else b"\x7e" + length.to_bytes(2, "big")
        if length < 65536
        else b"\x7f" + length.to_bytes(8, "big")
    )
    return bytes([first | kind]) + size + payload


def new() -> WebSocket:
    """Just connected."""
    talk = WebSocket(URL, "Test/1.0", draw)
    talk.outgoing()
    return talk


def opened() -> WebSocket:
    """Welcomed."""
    talk = new()
    assert taken(talk, WELCOME) == []
    return talk


def taken(talk: WebSocket, data: bytes) -> list[str]:
    """The messages in it."""
    talk.receive(data)
    return [message for message in iter(talk.take, None) if message]


def fault_of(read: Callable[[], object]) -> TrackerFault:
    with pytest.raises(TrackerFault) as caught:
        read()
    return caught.value


def test_the_upgrade_is_asked_for_as_the_rfc_says() -> None:
    """RFC 6455, 4.1: of the URL's own path, byte for byte; nothing is offered besides."""
    head = WebSocket(URL, "Test/1.0", draw).outgoing().decode()
    assert head.startswith(f"GET /{SECRET} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Test/1.0\r\n")
    assert head.endswith(
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert "Extensions" not in head
    assert "Origin" not in head


def test_who_has_no_name_sends_none_and_a_login_goes_along() -> None:
    """An empty user agent is no header at all; a login is Basic (RFC 7617)."""
    head = WebSocket(parse_url("ws://me:pw@a.example:81/", ("ws",)), "", draw).outgoing().decode()
    assert "User-Agent" not in head
    assert "Host: a.example:81\r\n" in head
    assert "Authorization: Basic bWU6cHc=\r\n" in head


def test_messages_pass_from_the_welcome_on() -> None:
    """Not before; what comes right behind the welcome is a message already."""
    talk = new()
    assert not talk.is_open
    assert taken(talk, WELCOME[:-1]) == []
    assert not talk.is_open
    assert taken(talk, WELCOME[-1:] + frame(b"one")) == ["one"]
    assert talk.is_open


@pytest.mark.parametrize(
    "lines",
    [
        ["HTTP/1.1 101", "upgrade: WebSocket", "connection: keep-alive, Upgrade", ACCEPT],
        [
            "HTTP/1.0 101 Web Socket Protocol",
            "Upgrade:websocket",
            "Connection:upgrade",
            ACCEPT.lower()[:21] + ACCEPT[21:],
        ],
    ],
)
def test_a_welcome_is_one_however_it_is_spelt(lines: list[str]) -> None:
    """Names and tokens have no case, and lists are lists."""
    talk = new()
    assert taken(talk, "\r\n".join([*lines, "", ""]).encode()) == []
    assert talk.is_open


@pytest.mark.parametrize(
    ("reply", "kind", "status", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", FaultKind.STATUS, 404, "the tracker answered 404 Not Found"),
        (b"HTTP/1.1 403\r\n\r\n", FaultKind.STATUS, 403, "the tracker answered 403"),
        (f"HTTP/1.1 500 {SECRET}\r\n\r\n".encode(), FaultKind.STATUS, 500, "the tracker answered 500 ***"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", FaultKind.STATUS, 200, "the tracker answered 200 OK"),
        (
            b"HTTP/1.1 503 \x1b[2J\r\n\r\n",
            FaultKind.STATUS,
            503,
            "the tracker answered 503 \N{REPLACEMENT CHARACTER}[2J",
        ),
        (b"HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1/\r\n\r\n", FaultKind.REPLY, 0, "redirected, which is not"),
        (b"hello", FaultKind.REPLY, 0, "not HTTP"),
        (b"HTTP/1.1 OK\r\n\r\n", FaultKind.REPLY, 0, "not HTTP"),
        (b"HTTP/1.1 101 x\r\nx: " + b"x" * MAX_HEAD, FaultKind.REPLY, 0, "head is longer"),
        (b"HTTP/1.1 101 x\r\n\r\n", FaultKind.REPLY, 0, "something else than WebSocket"),
        (WELCOME.replace(b"Connection: Upgrade", b"Connection: close"), FaultKind.REPLY, 0, "something else"),
        (WELCOME.replace(b"s3pPL", b"S3pPL"), FaultKind.REPLY, 0, "not to our request"),
        (WELCOME.replace(ACCEPT.encode(), b"x: y"), FaultKind.REPLY, 0, "not to our request"),
    ],
)
def test_who_does_not_welcome_us_is_told_of_in_words(reply: bytes, kind: FaultKind, status: int, words: str) -> None:
    """Redirects are not followed: nobody has judged where they lead. A passkey is in no text."""
    fault = fault_of(lambda: taken(new(), reply))
    assert (fault.kind, fault.status) == (kind, status)
    assert words in str(fault)
    assert SECRET not in str(fault)


def test_frames_are_those_of_the_rfcs_examples() -> None:
    """RFC 6455, 5.7."""
    talk = opened()
    assert taken(talk, bytes.fromhex("810548656c6c6f")) == ["Hello"]
    assert taken(talk, bytes.fromhex("010348656c") + bytes.fromhex("80026c6f")) == ["Hello"]
    assert taken(talk, bytes.fromhex("890548656c6c6f")) == []
    talk.send("Hello")
    assert talk.outgoing() == bytes.fromhex("818537fa213d7f9f4d5158") + bytes.fromhex("8a8537fa213d7f9f4d5158")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, MAX_MESSAGE])
def test_messages_of_every_length_go_both_ways(length: int) -> None:
    """Three ways to write a length, on either side of each border."""
    talk, text = opened(), "x" * length
    assert "".join(taken(talk, frame(text.encode()))) == text
    talk.send(text)
    sent = talk.outgoing()
    start = len(frame(text.encode())) - length
    assert sent[0] == 0x81
    assert sent[1] & 0x7F == frame(text.encode())[1]
    assert sent[2:start] == frame(text.encode())[2:start]
    assert sent[start : start + 4] == MASK
    assert bytes(byte ^ MASK[at % 4] for at, byte in enumerate(sent[start + 4 :])) == text.encode()


@given(
    st.lists(st.tuples(st.text(max_size=300), st.integers(0, 3)), max_size=6),
    st.lists(st.integers(1, 40), max_size=20),
)
def test_messages_are_the_same_however_they_are_cut(messages: list[tuple[str, int]], cuts: list[int]) -> None:
    """In frames, with pings between them, and by the network."""
    wire = bytearray(WELCOME)
    for text, parts in messages:
        raw = text.encode()
        for part in range(parts):
            wire += frame(raw[part : part + 1], 0 if part else TEXT, first=0) + frame(b"?", PING)
        wire += frame(raw[parts:], 0 if parts else TEXT)
    talk, came = new(), []
    for cut in cuts:
        came += taken(talk, bytes(wire[:cut]))
        del wire[:cut]
    came += taken(talk, bytes(wire))
    assert came == [text for text, _ in messages if text]


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_read_or_blamed(noise: bytes, welcomed: bool) -> None:
    """Before the welcome and after."""
    with suppress(TrackerFault):
        taken(opened() if welcomed else new(), noise)


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (frame(b"{}", first=0xC0), "without our wish"),
        (frame(b"{}", first=0xA0), "without our wish"),
        (frame(b"{}", 3), "no WebSocket server sends"),
        (frame(b"{}", 11), "no WebSocket server sends"),
        (b"\x81\x82\0\0\0\0{}", "no WebSocket server sends"),
        (frame(b"x" * 126, PING), "control frame"),
        (frame(b"x", PING, first=0), "control frame"),
        (frame(b"x", 0), "out of order"),
        (frame(b"x", first=0) + frame(b"y"), "out of order"),
        (frame(b"\xff\xfe"), "not UTF-8"),
        (b"\x81\x7f" + (2**40).to_bytes(8, "big"), "longer than"),
        (frame(b"x", first=0) + b"\x80\x7f" + MAX_MESSAGE.to_bytes(8, "big"), "longer than"),
        (frame(b"\x03", CLOSE), "WebSocket does not know"),
        (frame(b"\0\1\xff", CLOSE), "WebSocket does not know"),
        (frame(b"\x03\xe8\xff", CLOSE), "WebSocket does not know"),
    ],
)
def test_who_breaks_the_protocol_is_told_so_and_left(wire: bytes, words: str) -> None:
    """RFC 6455, 5 and 7.1.7: before what it announces has come, and with close code 1002."""
    talk = opened()
    fault = fault_of(lambda: taken(talk, wire))
    assert fault.kind is FaultKind.REPLY
    assert words in str(fault)
    assert talk.outgoing()[:2] == b"\x88\x82"
    talk.send("more")
    assert talk.outgoing() == b""


def test_bytes_are_a_message_too_and_what_is_no_text_in_them_does_no_harm() -> None:
    """Some trackers send JSON in binary frames."""
    assert taken(opened(), frame(b'{"a":1}', BINARY) + frame(b"\xff{", BINARY)) == ['{"a":1}', "\ufffd{"]


def test_of_many_pings_the_last_is_answered() -> None:
    """RFC 6455, 5.5.3 allows it: what we owe must not grow with what they send."""
    talk = opened()
    assert taken(talk, b"".join(frame(b"%d" % number, PING) for number in range(1000)) + frame(b"x", PONG)) == []
    assert len(talk.outgoing()) == 2 + 4 + 3
    assert talk.outgoing() == b""


@pytest.mark.parametrize(
    ("payload", "words", "answered"),
    [
        (b"", "the tracker hung up", "03e8"),
        (b"\x03\xe8", "the tracker hung up: without a reason (code 1000)", "03e8"),
        (b"\x03\xf0too many \x1b" + SECRET.encode(), "the tracker hung up: too many \ufffd*** (code 1008)", "03f0"),
    ],
)
def test_a_tracker_that_hangs_up_is_told_of_in_its_own_words(payload: bytes, words: str, answered: str) -> None:
    """RFC 6455, 5.5.1: its code is echoed; a passkey in its words is not."""
    talk = opened()
    fault = fault_of(lambda: taken(talk, frame(payload, CLOSE)))
    assert (fault.kind, str(fault)) == (FaultKind.NETWORK, words)
    code = bytes(byte ^ MASK[at] for at, byte in enumerate(talk.outgoing()[6:]))
    assert code.hex() == answered


def test_goodbye_is_said_once_and_last() -> None:
    """And not at all where there was no welcome."""
    talk = opened()
    talk.send("one")
    talk.close()
    talk.close()
    talk.send("two")
    sent = talk.outgoing()
    assert (sent[0], sent[9], len(sent)) == (0x81, 0x88, 9 + 8)
    silent = new()
    silent.close()
    assert silent.outgoing() == b""


def test_an_end_in_the_middle_of_something_is_seen() -> None:
    """A head, a frame, a message."""
    for start, rest in ((b"", b"HTTP/1.1 1"), (WELCOME, b"\x81"), (WELCOME, frame(b"x", first=0))):
        talk = new()
        taken(talk, start)
        assert not talk.is_cut
        taken(talk, rest)
        assert talk.is_cut
