"""What is to be sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.wire.messages import Block, encode
from anabranch.wire.outbox import Outbox
from wire.xor import Xor


def drain(outbox: Outbox, limit: int, max_buffers: int) -> tuple[bytes, int]:
    """Send it all, *limit* bytes at a time; what was sent, and how much of it was payload."""
    wire, payload = b"", 0
    while outbox.pending:
        shown = outbox.show(limit, max_buffers)
        assert outbox.show(limit, max_buffers) == shown
        assert len(shown) <= max_buffers
        assert 0 < sum(map(len, shown)) <= limit
        wire += b"".join(shown)
        payload += outbox.sent(sum(map(len, shown)))
    assert outbox.pending_payload == 0
    return wire, payload


@given(
    st.lists(st.binary(max_size=9) | st.integers(1, 50), max_size=8),
    st.integers(1, 40),
    st.integers(1, 5),
    st.booleans(),
)
def test_what_is_put_comes_out_once_and_in_order(
    put: list[bytes | int], limit: int, max_buffers: int, encrypted: bool
) -> None:
    """Messages and blocks alike, however little the socket takes, plain or encrypted."""
    outbox = Outbox(Xor() if encrypted else None)
    due, payload = b"", 0
    for what in put:
        if isinstance(what, bytes):
            if not what:
                continue
            outbox.put(what)
            due += what
        else:
            data = bytes(range(what))
            outbox.put_blocks(3, 16, memoryview(bytearray(data)), 16)
            due += b"".join(encode(Block(3, 16 + at, data[at : at + 16])) for at in range(0, what, 16))
            payload += what
    assert (outbox.pending, outbox.pending_payload) == (len(due), payload)
    wire, told = drain(outbox, limit, max_buffers)
    assert told == payload
    assert wire == (Xor().outgoing(due) if encrypted else due)


def test_blocks_are_shown_without_a_copy() -> None:
    """The buffers that go to the system are slices of the owner's memory."""
    memory = bytearray(32)
    outbox = Outbox(None)
    outbox.put_blocks(0, 0, memoryview(memory), 16)
    shown = outbox.show(1000, 1000)
    assert [len(buffer) for buffer in shown] == [13, 16, 13, 16]
    memory[:] = b"x" * 32
    assert bytes(shown[1]) == b"x" * 16


def test_blocks_are_encrypted_once_and_where_they_lie() -> None:
    """However often they are shown, whatever part of them the socket takes; a copy would cost as much as sending."""
    calls: list[int] = []

    class Counting(Xor):
        def outgoing(self, data: bytes) -> bytes:
            calls.append(len(data))
            return super().outgoing(data)

    outbox = Outbox(Counting())
    memory = bytearray(64)
    outbox.put_blocks(0, 0, memoryview(memory), 16)
    first = outbox.show(40, 10)
    assert calls == [13, 16, 13]
    assert first[1] == memoryview(memory)[:16] == bytes(range(13, 29))
    outbox.sent(20)
    again = outbox.show(1000, 10)
    assert again[0] == memoryview(memory)[7:16]
    assert isinstance(again[0], memoryview)
    assert again[0].obj is memory
    assert calls == [13, 16] * 4


def test_memory_that_cannot_be_written_to_is_encrypted_elsewhere() -> None:
    """So somebody who wants to keep what he sends can."""
    outbox = Outbox(Xor())
    memory = bytes(16)
    outbox.put_blocks(0, 0, memoryview(memory), 16)
    assert outbox.show(1000, 10)[1] == bytes(range(13, 29))
    assert memory == bytes(16)


def test_memory_is_given_back_with_its_last_byte() -> None:
    """Not before, and in order; messages behind it do not matter."""
    outbox = Outbox(None)
    free: list[str] = []

    def noting(name: str) -> Callable[[], None]:
        return lambda: free.append(name)

    outbox.put_blocks(0, 0, memoryview(bytes(16)), 16, noting("first"))
    outbox.put_blocks(0, 16, memoryview(bytes(16)), 16, noting("second"))
    outbox.put(b"more")
    assert outbox.sent(28) == 15
    assert free == []
    assert outbox.sent(2) == 1
    assert free == ["first"]
    assert outbox.sent(28) == 16
    assert free == ["first", "second"]
    assert outbox.sent(4) == 0


def test_what_is_discarded_gives_its_memory_back() -> None:
    """At close the owner gets back what it lent, sent or not."""
    outbox = Outbox(Xor())
    free: list[str] = []
    outbox.put_blocks(0, 0, memoryview(bytes(16)), 16, lambda: free.append("lent"))
    outbox.show(5, 10)
    outbox.discard()
    assert free == ["lent"]
    assert (outbox.pending, outbox.pending_payload, outbox.show(100, 10)) == (0, 0, [])


def test_no_allowance_shows_nothing() -> None:
    """A rate bucket may be empty."""
    outbox = Outbox(None)
    outbox.put(b"x")
    assert outbox.show(0, 10) == []


def test_nothing_cannot_be_sent_as_a_block() -> None:
    """Empty data is the owner's mistake."""
    with pytest.raises(ValueError, match="0 bytes"):
        Outbox(None).put_blocks(0, 0, memoryview(b""), 16)


def test_what_tells_of_our_pieces_is_counted_until_nothing_is_queued() -> None:
    outbox = Outbox(None)
    outbox.put(b"have", tells=True)
    outbox.put(b"answer")
    assert (outbox.pending, outbox.told) == (10, 4)
    outbox.sent(9)
    assert (outbox.pending, outbox.told) == (1, 4)
    outbox.sent(1)
    assert (outbox.pending, outbox.told) == (0, 0)
    outbox.put(b"have", tells=True)
    outbox.discard()
    assert outbox.told == 0


CUT_SHORT = """
import mmap, os, sys
from anabranch.wire import Connection

with open(sys.argv[1], "wb+") as file:
    file.truncate(1 << 16)
    view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    file.truncate(0)
talk = Connection(None, fast=True, extended=True, now=0.0)
assert not talk.encrypted
for turn in range(2):
    talk.send_blocks(0, 0, view, 16384, lambda: None)
    for limit in (5, 20, 20000, 1 << 20):
        shown = talk.outgoing(limit)
        repr(shown)
        talk.sent(sum(map(len, shown)) - 3, 0.0)
    talk.discard()
print("alive")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is mapped is not cut short there")
def test_without_encryption_no_byte_of_a_block_is_looked_at(tmp_path: Path) -> None:
    """Blocks may be pages of a file that was cut short: whoever looks at them is ended by a signal."""
    command = [sys.executable, "-c", CUT_SHORT, str(tmp_path / "file")]
    child = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (child.returncode, child.stdout) == (0, "alive\n"), child.stderr
