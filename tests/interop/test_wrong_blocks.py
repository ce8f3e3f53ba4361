"""Wrong blocks of v2 pieces, between us and libtorrent: whose they are is found by the hashes of blocks (BEP 52).

libtorrent 2.1.1 gives those of pieces that it has hashed itself. In a torrent of v2 alone it asks for those of a piece
that failed and had several senders. What of the piece was right it fetches again nevertheless, and sometimes it stands
still afterwards, with others of its kind too: always over a file of one piece, of which it asks for more proof than
there is, and refuses that itself.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.api import Address, Metainfo, create, events
from anabranch.engine import exchanging
from anabranch.engine.jobs import read_leaves
from anabranch.storage import TorrentStorage
from anabranch.testing import ScriptedPeer
from anabranch.testing.saying import REJECT, REQUEST, block, greeted, range_of, ranged
from anabranch.testing.scene import Hear, Scene, Steps
from interop.libtorrent_peer import LibtorrentPeer
from ours import KIB, MIB, address_of, finished, make_client, until

pytestmark = pytest.mark.interop

BLOCK = 16 * KIB
LENGTH = 9 * 256 * KIB
LIAR = "127.0.26.2"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The content of these tests."""
    return trees.make_file(tmp_path / "seed" / "content.bin", LENGTH, seed=26)


def torrent_of(original: Path, version: str, piece_length: int) -> bytes:
    return create(original, piece_length=piece_length, version=version)  # type: ignore[arg-type]  # one of three


@pytest.mark.parametrize("version", ["v2", "hybrid"])
def test_of_a_wrong_piece_only_the_wrong_block_is_fetched_again(original: Path, tmp_path: Path, version: str) -> None:
    """A liar gives a part of a piece with a wrong block in it; libtorrent has the rest, and the hashes."""
    piece_length = 256 * KIB
    data = torrent_of(original, version, piece_length)
    meta, content = Metainfo.parse(data), original.read_bytes()
    given, blocks = 0, 7

    def lie(scene: Scene) -> Steps:
        nonlocal given
        while True:
            yield Hear(1.0)
            for heard in scene.take():
                if heard.kind != REQUEST:
                    continue
                piece, begin, length = range_of(heard)
                if given == blocks:
                    yield ranged(REJECT, piece, begin, length)
                    continue
                given += 1
                at = piece * piece_length + begin
                yield block(piece, begin, bytes(length) if given == 3 else content[at : at + length])

    with (
        make_client(tmp_path, "127.0.26.1") as client,
        LibtorrentPeer("127.0.26.3", encryption="off") as seeder,
        ScriptedPeer(greeted(lie), meta, host=LIAR) as liar,
    ):
        seeder.add(data, original.parent)
        feed = client.events()
        torrent = client.add(data)
        torrent.download_all()
        torrent.add_peers([liar.address])
        until(lambda: given == blocks)
        torrent.add_peers([(seeder.host, seeder.port)])
        finished(torrent, 30)
        stats = torrent.stats()
        assert stats.corrupt == BLOCK
        assert stats.downloaded == LENGTH + BLOCK
        assert seeder.stats()["uploaded"] == LENGTH - (blocks - 1) * BLOCK
        told = [feed.get(0) for _ in range(len(feed))]
        assert [event.host for event in told if isinstance(event, events.PeerBanned)] == [LIAR]
    assert trees.digest(tmp_path / "data" / original.name) == trees.digest(original)


def test_libtorrent_asks_us_for_the_hashes_of_a_wrong_pieces_blocks(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of ours seed, one over a line that spoils a block of each piece, once: our answer is believed."""
    data = torrent_of(original, "v2", MIB)
    reads: list[int] = []

    def read(storage: TorrentStorage, piece: int, length: int) -> bytes:
        reads.append(length)
        return read_leaves(storage, piece, length)

    monkeypatch.setattr(exchanging, "read_leaves", read)
    slow = {"data_dir": original.parent, "upload_rate": 700 * KIB}
    with (
        make_client(tmp_path / "a", "127.0.26.4", **slow) as one,
        make_client(tmp_path / "b", "127.0.26.5", **slow) as two,
    ):
        for client in (one, two):
            assert client.add(data).checked.wait(30)
        for number in range(4):  # it does not have both send blocks of a piece each time
            with (
                spoiling(address_of(two), "127.0.26.6") as line,
                LibtorrentPeer("127.0.26.7", encryption="off") as peer,
            ):
                peer.add(data, tmp_path / f"theirs {number}")
                peer.connect(*line)
                peer.connect(*address_of(one))
                until(lambda: reads or peer.stats()["finished"], 30)
                if not reads:
                    continue
                alerts = peer.stats()["alerts"]
                assert not [alert for alert in alerts if "127.0.26.4" in alert and ("ban" in alert or "hash" in alert)]
                return
    pytest.fail("it never asked")


@contextmanager
def spoiling(to: Address, host: str) -> Iterator[tuple[str, int]]:
    """A line to a peer on which a byte of the first block of each piece is changed. Gives its near end."""
    spoilt: set[bytes] = set()

    def spoil(frame: bytearray) -> None:
        piece = bytes(frame[5:9])
        if frame[4:5] == b"\x07" and piece not in spoilt:
            spoilt.add(piece)
            frame[100] ^= 1

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((to.host, to.port))
                for pump in (partial(forward, near, far), partial(forward, far, near, spoil)):
                    Thread(target=pump, daemon=True).start()

    with socket.create_server((host, 0)) as listener:
        thread = Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[:2]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def forward(source: socket.socket, target: socket.socket, change: Callable[[bytearray], None] | None = None) -> None:
    """Move what comes; message by message, behind the handshake, where something is to be done with them."""
    held, begun = bytearray(), change is None
    with source, target, suppress(OSError):
        while data := source.recv(256 * KIB):
            if change is None:
                target.sendall(data)
                continue
            held += data
            if not begun and len(held) >= 68:
                begun = True
                target.sendall(held[:68])
                del held[:68]
            while begun and len(held) >= 4 and len(held) >= (size := 4 + int.from_bytes(held[:4], "big")):
                frame = held[:size]
                del held[:size]
                change(frame)
                target.sendall(frame)
        target.shutdown(socket.SHUT_RDWR)
