"""The encryption handshake with a real program: we call libtorrent and it calls us, over a socket held by the test."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import trees
from anabranch.crypto import Ciphers, Mse, looks_plain, obfuscated
from anabranch.model import InfoHash
from anabranch.wire import HANDSHAKE_LENGTH, Extended, Handshake, Message, decode

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from interop.libtorrent_peer import LibtorrentPeer, make_torrent

pytestmark = pytest.mark.interop

BOTH = Ciphers.PLAIN | Ciphers.RC4
PEER_ID = b"-AB0001-aaaaaaaaaaaa"
PATIENCE = 5.0  # seconds


class Line:
    """A socket, the handshake on it, and the plain bytes that came."""

    def __init__(self, connection: socket.socket, talk: Mse) -> None:
        connection.settimeout(PATIENCE)
        self.connection = connection
        self.talk = talk
        while not talk.complete:
            connection.sendall(talk.outgoing())
            talk.receive(self.heard(), 0.0)
        connection.sendall(talk.outgoing())
        self.clear = bytearray(talk.initial + talk.rest)

    def heard(self) -> bytearray:
        data = bytearray(self.connection.recv(4096))
        assert data, "libtorrent hung up"
        return data

    def read(self, count: int) -> bytes:
        while len(self.clear) < count:
            data = self.heard()
            if self.talk.transform:
                self.talk.transform.incoming(memoryview(data))
            self.clear += data
        taken = bytes(self.clear[:count])
        del self.clear[:count]
        return taken

    def send(self, data: bytes) -> None:
        self.connection.sendall(self.talk.transform.outgoing(data) if self.talk.transform else data)

    def message(self) -> Message:
        return decode(self.read(int.from_bytes(self.read(4), "big")))


def pads(longest: bool) -> tuple[bytes, bytes]:
    return (os.urandom(512), bytes(512)) if longest else (b"", b"")


@pytest.fixture(scope="module", params=list(Ciphers), ids=lambda cipher: cipher.name)
def cipher(request: pytest.FixtureRequest) -> Ciphers:
    """What libtorrent insists on."""
    assert isinstance(request.param, Ciphers)
    return request.param


@pytest.fixture(scope="module")
def insisting(cipher: Ciphers) -> Iterator[LibtorrentPeer]:
    """Who speaks with nobody but after such a handshake, and then by one cipher only."""
    only = {"allowed_enc_level": int(cipher), "prefer_rc4": cipher == Ciphers.RC4}
    with LibtorrentPeer(encryption="require", settings=only) as peer:
        yield peer


@pytest.fixture(scope="module")
def info_hash(insisting: LibtorrentPeer, tmp_path_factory: pytest.TempPathFactory) -> InfoHash:
    """Of the torrent that it seeds."""
    content = trees.make_file(tmp_path_factory.mktemp("seed") / "content.bin", 100_000)
    return InfoHash.parse(insisting.add(make_torrent(content, 16384), Path(content).parent, seed_mode=True))


@pytest.mark.parametrize("longest", [False, True])
@pytest.mark.parametrize("along", [True, False])
def test_libtorrent_answers_when_we_call(
    insisting: LibtorrentPeer, info_hash: InfoHash, cipher: Ciphers, along: bool, longest: bool
) -> None:
    """By the cipher that it insists on, with the BitTorrent handshake sent along or behind, with all pads or none."""
    ours = Handshake.ours(info_hash, PEER_ID).encode()
    talk = Mse.dialed(
        info_hash,
        ours if along else b"",
        BOTH,
        private=os.urandom(20),
        padding=pads(longest),
        now=0.0,
        timeout=PATIENCE,
    )
    with socket.create_connection((insisting.host, insisting.port), PATIENCE) as connection:
        line = Line(connection, talk)
        assert talk.selected == cipher
        if not along:
            line.send(ours)
        assert Handshake.decode(line.read(HANDSHAKE_LENGTH)).info_hash == info_hash
        assert isinstance(line.message(), Extended)


@pytest.mark.parametrize("longest", [False, True])
def test_libtorrent_is_understood_when_it_calls(
    insisting: LibtorrentPeer, info_hash: InfoHash, cipher: Ciphers, longest: bool
) -> None:
    """It sends first bytes along; its conversation goes on by the cipher that we chose from its offer."""
    offered: list[Ciphers] = []

    def choose(offer: Ciphers) -> Ciphers:
        offered.append(offer)
        return cipher

    torrents = {obfuscated(hash_): hash_ for hash_ in (InfoHash(bytes(20)), info_hash)}
    talk = Mse.accepted(torrents.get, choose, private=os.urandom(20), padding=pads(longest), now=0.0, timeout=PATIENCE)
    with socket.create_server(("127.0.0.3", 0)) as server:
        server.settimeout(PATIENCE)
        insisting.connect(*server.getsockname())
        connection, _ = server.accept()
    with connection:
        first = connection.recv(4096)
        assert looks_plain(first) is False
        talk.receive(first, 0.0)
        line = Line(connection, talk)
        assert offered == [cipher]
        assert talk.info_hash == info_hash
        theirs = Handshake.decode(line.read(HANDSHAKE_LENGTH))
        assert theirs.info_hash == info_hash
        line.send(Handshake.ours(info_hash, PEER_ID).encode())
        assert isinstance(line.message(), Extended)
