"""Whatever is said to a live engine, in whatever order, it goes on."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anabranch.api import Client, Metainfo, Torrent, create
from anabranch.bencode import encode
from anabranch.wire import HANDSHAKE_LENGTH, Handshake
from ours import KIB, address_of, make_client
from trees import make_file

PIECE, PIECES = 32 * KIB, 11
COMPLETE = 6  # pieces that the engine has; the others it wants
_NUMBERS = count(1)

small = st.integers(0, PIECES + 1)
numbers = st.one_of(small, st.integers(0, 2 * PIECE), st.integers(0, 2**32 - 1))
ids = st.one_of(st.integers(0, 23), st.integers(0, 255))
tables = st.recursive(
    st.one_of(st.integers(-5, 2**40), st.binary(max_size=30)),
    lambda values: st.one_of(st.lists(values, max_size=4), st.dictionaries(st.binary(max_size=12), values, max_size=5)),
    max_leaves=12,
)
keys = st.sampled_from([b"m", b"p", b"v", b"reqq", b"metadata_size", b"msg_type", b"piece", b"total_size", b"added"])
dictionaries = st.dictionaries(keys, tables, max_size=6)
names = st.dictionaries(st.sampled_from([b"ut_metadata", b"ut_pex", b"lt_donthave"]), st.integers(-1, 300))


def frame(kind: int, body: bytes = b"") -> bytes:
    return struct.pack(">IB", 1 + len(body), kind) + body


def block(place: tuple[int, int, bytes]) -> bytes:
    return frame(7, struct.pack(">II", place[0], place[1]) + place[2])


def extended(said: tuple[int, object]) -> bytes:
    return frame(20, bytes([said[0]]) + encode(said[1]))


messages = st.one_of(
    st.just(bytes(4)),
    st.sampled_from([0, 1, 2, 3, 14, 15]).map(frame),
    st.tuples(st.sampled_from([4, 13, 17]), numbers).map(lambda it: frame(it[0], struct.pack(">I", it[1]))),
    st.tuples(st.sampled_from([6, 8, 16]), small, numbers, numbers).map(
        lambda it: frame(it[0], struct.pack(">III", *it[1:]))
    ),
    st.tuples(small, st.sampled_from([0, 16 * KIB]), st.just(16 * KIB)).map(
        lambda it: frame(6, struct.pack(">III", *it))
    ),
    st.tuples(small, st.sampled_from([0, 1, 16 * KIB]), st.sampled_from([b"", b"x", bytes(16 * KIB)])).map(block),
    st.binary(max_size=3).map(lambda bits: frame(5, bits)),
    st.integers(0, 65535).map(lambda port: frame(9, struct.pack(">H", port))),
    st.tuples(st.just(0), names.map(lambda m: {b"m": m})).map(extended),
    st.tuples(st.integers(0, 10), dictionaries).map(extended),
    st.tuples(ids, st.binary(max_size=60)).map(lambda it: frame(it[0], it[1])),
    st.tuples(st.integers(21, 23), st.binary(max_size=96)).map(lambda it: frame(*it)),
    st.binary(min_size=1, max_size=40),
)
reserved = st.sampled_from([bytes(8), bytes.fromhex("0000000000100004"), b"\xff" * 8])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Torrent]]:
    """A client that has half of a torrent and wants the rest."""
    place = tmp_path_factory.mktemp("live")
    content = make_file(place / "data" / "c.bin", PIECES * PIECE - 5000, seed=3)
    metainfo = Metainfo.parse(create(content, piece_length=PIECE))
    whole = content.read_bytes()
    content.write_bytes(whole[: COMPLETE * PIECE] + bytes(len(whole) - COMPLETE * PIECE))
    with make_client(place, "127.0.6.3") as client:
        torrent = client.add(metainfo)
        assert torrent.checked.wait(30)
        torrent.download_all()
        yield client, torrent


def connected(client: Client) -> socket.socket:
    """A connection from an address that nobody has used: what the last one did is not its fault."""
    number = next(_NUMBERS)
    return socket.create_connection(
        address_of(client),
        timeout=10,
        source_address=(f"127.{100 + number // 62500}.{number // 250}.{number % 250 + 1}", 0),
    )


def answered(sock: socket.socket) -> bytes:
    """The handshake that the engine gives."""
    data = b""
    while len(data) < HANDSHAKE_LENGTH:
        part = sock.recv(HANDSHAKE_LENGTH - len(data))
        assert part, "closed instead of a handshake"
        data += part
    return data


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(said=st.lists(messages, max_size=25), bits=reserved, resets=st.booleans())
def test_no_sequence_of_messages_ends_a_live_engine(
    engine: tuple[Client, Torrent],
    caplog: pytest.LogCaptureFixture,
    said: list[bytes],
    bits: bytes,
    resets: bool,
) -> None:
    """It keeps the peer or drops it; others are welcome as before, and nothing of ours went wrong."""
    client, torrent = engine
    theirs = Handshake(bits, torrent.info_hash, b"-XX0000-%012d" % next(_NUMBERS))
    with connected(client) as sock:
        sock.sendall(theirs.encode())
        answered(sock)
        with suppress(OSError):  # it may have had enough
            for message in said:
                sock.sendall(message)
            sock.settimeout(0.005)
            while sock.recv(65536):
                pass
        if resets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with connected(client) as sock:
        sock.sendall(Handshake.ours(torrent.info_hash, b"-XX0000-%012d" % next(_NUMBERS)).encode())
        assert Handshake.decode(answered(sock)).info_hash == torrent.info_hash
    assert torrent.stats().stage == "live"
    assert torrent.stats().pieces_complete == COMPLETE
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_the_engine_above_still_serves(engine: tuple[Client, Torrent], tmp_path: Path) -> None:
    """After all that was said to it, somebody fetches what it has."""
    client, torrent = engine
    with make_client(tmp_path, "127.0.6.4") as other:
        copy = other.add(torrent.metainfo)
        copy.download_pieces(0, COMPLETE)
        copy.add_peers([address_of(client)])
        assert copy.complete.wait(20)
