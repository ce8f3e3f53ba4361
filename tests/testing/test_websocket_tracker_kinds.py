"""What trackers say over a WebSocket, without a socket."""

from __future__ import annotations

import json
from collections.abc import Generator
from random import Random

import pytest

from anabranch.testing.scene import Hear
from anabranch.testing.tracker_talk import Line, LineStep, OverTcp
from anabranch.testing.websocket_tracker_kinds import WEBSOCKET_KINDS, frame, next_message, said, told

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
ASKED = {"action": "announce", "info_hash": "h" * 20}


def masked(payload: bytes, kind: int = 1) -> bytes:
    """A client's frame (RFC 6455, 5.3)."""
    key = b"\x11\x22\x33\x44"
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([0x80 | kind]) + size + key + bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))


def fed(script: Generator[LineStep, None, object], line: Line, parts: list[bytes]) -> bytes:
    """What a script sends while these parts come, one each time that it listens."""
    sent = b""
    for step in script:
        if isinstance(step, bytes):
            sent += step
        elif isinstance(step, Hear):
            if not parts:
                break
            line.heard += parts.pop(0)
    return sent


def test_a_frame_says_its_length_in_one_of_three_ways() -> None:
    """RFC 6455, 5.2; a length that is claimed stands in the place of the right one."""
    assert frame(b"hi") == b"\x81\x02hi"
    assert frame(bytes(126))[:4] == b"\x81\x7e\x00\x7e"
    assert frame(bytes(65536))[:10] == b"\x81\x7f" + (65536).to_bytes(8, "big")
    assert frame(b"{", length=2**40) == b"\x81\x7f" + (2**40).to_bytes(8, "big") + b"{"


@pytest.mark.parametrize("payload", [json.dumps(ASKED).encode(), json.dumps({**ASKED, "x": "y" * 300}).encode()])
def test_a_message_is_read_however_it_is_cut(payload: bytes) -> None:
    """Pings between are passed over; a close is its end."""
    whole = masked(b"there?", 9) + masked(payload) + masked(b"", 8)
    for parts in ([whole], [bytes([byte]) for byte in whole]):
        line = Line(Random(1))
        found: list[object] = []

        def script(line: Line = line, found: list[object] = found) -> Generator[LineStep, None, None]:
            while (message := (yield from next_message(line))) is not None:
                found.append(message)

        assert fed(script(), line, parts) == b""
        assert found == [json.loads(payload)]


def test_an_honest_one_welcomes_and_answers() -> None:
    """With the key that RFC 6455 has for an example, and with the torrent that was asked about."""
    serves = WEBSOCKET_KINDS["ws-honest"].serves
    assert isinstance(serves, OverTcp)
    line = Line(Random(1))
    sent = fed(serves.script(line), line, [REQUEST[:30], REQUEST[30:] + masked(json.dumps(ASKED).encode())])
    head, _, reply = sent.partition(b"\r\n\r\n")
    assert head.endswith(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    assert reply == said(told(dict(ASKED)))


def test_numbers_of_several_torrents_are_told() -> None:
    """As those are asked for: one by its name, several in a list."""
    numbers = {"complete": 3, "incomplete": 4, "downloaded": 5}
    assert told({"action": "scrape", "info_hash": ["a", "b"]}) == {
        "action": "scrape",
        "files": {"a": numbers, "b": numbers},
    }
    assert told({"action": "scrape", "info_hash": "a"})["files"] == {"a": numbers}
