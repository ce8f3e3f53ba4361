"""Giving peers what they asked for from mapped pages: who gets them, and what happens when they are gone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from anabranch.api import create
from anabranch.engine import serving
from anabranch.engine.sending import WATERMARK
from anabranch.engine.serving import LEAST_LENT
from anabranch.engine.stage import Failed, Live
from anabranch.engine.state import Serving, TorrentState
from anabranch.engine.wanting import allow_upload
from anabranch.model import BLOCK_SIZE, InfoHash, all_pieces
from anabranch.net import Bucket
from anabranch.storage import Layout, MmapStorage
from anabranch.storage.mapped_io import MmapTorrent
from anabranch.wire import messages
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Sample, sample
from engine.test_link_io import joined, spoken
from ours import KIB, address_of, finished, make_client
from trees import make_file

PIECE = 16 * BLOCK_SIZE


class Home(MmapStorage):
    """A directory with everything in it, known to be right. *cold*: none of it is in memory."""

    def __init__(self, place: Path, content: Sample) -> None:
        super().__init__(place)
        self.cold = False
        for file in content.metainfo.info.files:
            path = place.joinpath(*file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.content[file.offset : file.offset + file.length])

    def open(self, info: Layout, info_hash: InfoHash) -> Watched:
        torrent = Watched(self._maps, info, *self._laid_out(info, info_hash))
        torrent.home = self
        torrent.record(range(info.geometry.piece_count))
        for piece in range(info.geometry.piece_count):
            torrent.readinto(piece, 0, bytearray(1))  # all files are open
        return torrent


class Watched(MmapTorrent):
    home: Home

    def read_warm(self, offset: int, buffer: bytearray | memoryview) -> int:
        return 0 if self.home.cold else super().read_warm(offset, buffer)

    def mapped(self, offset: int, length: int) -> memoryview | None:
        return None if self.home.cold else super().mapped(offset, length)


def leech(node: Node, torrent: TorrentState, content: Sample) -> Remote:
    node.settle()
    remote = Remote(node, torrent, content, pieces=[])
    remote.talk.interested()
    remote.send()
    node.settle()
    return remote


def ask_for_all(remote: Remote, content: Sample, block: int = BLOCK_SIZE) -> dict[tuple[int, int], bytes | None]:
    """Ask for every block; what is due."""
    due: dict[tuple[int, int], bytes | None] = {}
    for piece in range(content.geometry.piece_count):
        whole = content.of_piece(piece)
        for begin in range(0, len(whole), block):
            due[piece, begin] = whole[begin : begin + block]
            remote.ask(piece, begin, len(whole[begin : begin + block]))
    return due


@pytest.mark.parametrize("files", [(), (5 * BLOCK_SIZE + 7, 1, 20 * BLOCK_SIZE, 23 * BLOCK_SIZE - 1000)])
@pytest.mark.parametrize("block", [BLOCK_SIZE, 10_000, 128 * 1024])
@pytest.mark.parametrize("cold", [False, True])
def test_every_block_is_served_as_it_is(tmp_path: Path, files: tuple[int, ...], block: int, cold: bool) -> None:
    """Whole pieces, odd lengths, across the borders of files, warm and cold; and each byte is counted once."""
    content = sample(pieces=3, blocks=16, cut=0 if files else 1234, files=files)
    node = Node(Clock())
    home = Home(tmp_path, content)
    torrent = node.add(content, home)
    remote = leech(node, torrent, content)
    home.cold = cold
    due = ask_for_all(remote, content, block)
    node.settle()
    assert remote.answers() == due
    assert torrent.totals.uploaded == remote.peer.flow.up.total == content.geometry.total
    assert not remote.peer.serving.lent
    if not files and not cold:
        assert node.engine.workshop.sending._made <= 1  # for what is shorter than is worth it


def served(tmp_path: Path, pieces: int = 8) -> tuple[Node, Remote, Sample, Home]:
    """A peer that asked for everything and takes nothing."""
    content = sample(pieces=pieces, blocks=16)
    node = Node(Clock())
    home = Home(tmp_path, content)
    remote = leech(node, node.add(content, home), content)
    remote.link.blocked = True
    ask_for_all(remote, content)
    node.settle()
    return node, remote, content, home


def lent(serving: Serving) -> int:
    return sum(run.length for run in serving.lent)


def test_mapped_pages_take_none_of_the_memory_for_sending(tmp_path: Path) -> None:
    """And few of them are lent to a peer at a time; they come back when it leaves."""
    node, remote, _, home = served(tmp_path)
    assert 0 < remote.peer.talk.pending_payload == lent(remote.peer.serving) < 2 * WATERMARK
    assert node.engine.workshop.sending._made == 0
    assert len(home._maps) == 1
    remote.leave()
    assert not remote.peer.serving.lent
    assert node.engine.workshop.sending._made == 0


def test_an_encrypted_connection_gets_no_pages(tmp_path: Path) -> None:
    """They would be looked into, and cannot be written to."""
    content = sample(pieces=2, blocks=16)
    node = Node(Clock())
    remote = leech(node, node.add(content, Home(tmp_path, content)), content)
    remote.peer.talk.encrypted = True
    remote.link.blocked = True
    ask_for_all(remote, content)
    node.settle()
    assert remote.peer.talk.pending_payload
    assert not remote.peer.serving.lent


def test_what_is_not_in_memory_is_read_by_a_worker_first(tmp_path: Path) -> None:
    """Else sending it would wait for the disk, and all peers with it."""
    content = sample(pieces=2, blocks=16)
    node = Node(Clock())
    home = Home(tmp_path, content)
    remote = leech(node, node.add(content, home), content)
    home.cold = node.cold.held = True
    due = ask_for_all(remote, content)
    node.settle()
    assert remote.peer.serving.reading
    assert not remote.peer.serving.lent
    node.cold.held = home.cold = False
    node.settle()
    assert remote.answers() == due


def test_short_runs_are_copied(tmp_path: Path) -> None:
    """To find a block mapped costs more than to copy it."""
    content = sample(pieces=2, blocks=16)
    node = Node(Clock())
    remote = leech(node, node.add(content, Home(tmp_path, content)), content)
    remote.link.blocked = True
    remote.ask(0, 0, BLOCK_SIZE)
    node.settle()
    assert BLOCK_SIZE < LEAST_LENT
    assert remote.peer.talk.pending_payload == BLOCK_SIZE
    assert not remote.peer.serving.lent


def test_a_peer_that_is_slowed_gets_pages_as_slowly(tmp_path: Path) -> None:
    """Its bucket decides, as with bytes that are read."""
    content = sample(pieces=2, blocks=16)
    clock = Clock()
    node = Node(clock)
    remote = leech(node, node.add(content, Home(tmp_path, content)), content)
    remote.peer.serving.throttle = Bucket(2.0 * BLOCK_SIZE, 2.0 * BLOCK_SIZE)
    due = ask_for_all(remote, content)
    run(clock, node, 5)
    assert 8 * BLOCK_SIZE <= remote.peer.flow.up.total <= 13 * BLOCK_SIZE
    run(clock, node, 15)
    assert remote.answers() == due


def test_a_choke_answers_what_is_queued(tmp_path: Path) -> None:
    """BEP 6: what is on its way is sent, the rest is rejected."""
    node, remote, content, _ = served(tmp_path)
    on_its_way = lent(remote.peer.serving) // BLOCK_SIZE
    with node.engine.turn:
        allow_upload(node.engine, remote.peer.torrent, False)
    node.settle()
    remote.link.blocked = False
    remote.link.flush()
    node.settle()
    answers = remote.answers()
    assert len(answers) == 8 * 16
    assert sum(data is not None for data in answers.values()) == on_its_way
    for (piece, begin), data in answers.items():
        assert data in (None, content.of_piece(piece)[begin : begin + BLOCK_SIZE])


@pytest.mark.parametrize("encryption", ["off", "require"])
def test_whoever_downloads_from_mapped_files_gets_what_is_in_them(tmp_path: Path, encryption: str) -> None:
    """Over sockets, in clear and encrypted."""
    make_file(tmp_path / "seed" / "data" / "content", 5_000_001)
    with (
        make_client(tmp_path / "seed", "127.0.67.1", storage="mmap", encryption=encryption) as seed,
        make_client(tmp_path / "leech", "127.0.67.2", storage="mmap", encryption=encryption) as leecher,
    ):
        path = tmp_path / "seed" / "data" / "content"
        metainfo = create(path, piece_length=256 * KIB)
        assert seed.add(metainfo).complete.wait(30)
        torrent = leecher.add(metainfo)
        torrent.download_all()
        torrent.add_peers([address_of(seed)])
        finished(torrent)
        assert (tmp_path / "leech" / "data" / "content").read_bytes() == path.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="what other systems answer was not seen")
def test_a_file_that_is_cut_short_while_it_is_sent_ends_the_connection_and_stops_the_torrent(tmp_path: Path) -> None:
    """W43: not the program. The torrent says which file, and goes on once it is whole again."""
    content = sample(pieces=8, blocks=16)
    clock = Clock()
    node = Node(clock)
    torrent = node.add(content, Home(tmp_path, content))
    node.settle()
    with joined(torrent, node) as (host, link, theirs):
        peer = link.peer
        assert peer is not None
        theirs.send(messages.encode(messages.Interested()))
        host.read()
        node.settle()
        for piece in range(8):
            asked = [messages.encode(messages.Request(piece, at, BLOCK_SIZE)) for at in range(0, PIECE, BLOCK_SIZE)]
            theirs.send(b"".join(asked))
            host.read()
        assert len(peer.serving.lent) > 1
        (path,) = (tmp_path / content.metainfo.info.name,)
        os.truncate(path, 10)
        while not link.ended() and spoken(theirs):
            host.write()
        node.settle()
        assert link.ended()
        assert not peer.serving.lent
        assert peer.address not in torrent.swarm.peers
    assert isinstance(torrent.stage, Failed)
    assert "short at offset" in str(torrent.stage.error)
    assert str(path) in str(torrent.stage.error)
    path.write_bytes(content.content)
    run(clock, node, 30)
    assert isinstance(torrent.stage, Live)
    assert torrent.pieces.complete == all_pieces(8)
    remote = leech(node, torrent, content)
    remote.link.blocked = True
    due = ask_for_all(remote, content)
    node.settle()
    assert remote.peer.serving.lent  # the disk was at fault, and not its pages
    remote.link.blocked = False
    remote.peer.link.flush()
    node.settle()
    assert remote.answers() == due


def test_pages_of_a_piece_that_was_found_wrong_before_anybody_looked_stop_nothing(tmp_path: Path) -> None:
    """It is not served any more, and fetched again."""
    node, remote, content, _ = served(tmp_path)
    torrent = remote.peer.torrent
    node.cold.held = True
    serving.cannot_send(node.engine, remote.peer)
    remote.leave()
    os.truncate(tmp_path / content.metainfo.info.name, 0)
    for piece in range(8):
        torrent.pieces.set_complete(piece, complete=False)
    node.cold.held = False
    node.settle()
    assert isinstance(torrent.stage, Live)


def test_pages_that_were_put_back_before_anybody_looked_stop_nothing(tmp_path: Path) -> None:
    """Whoever was to get them is gone, and that is all."""
    node, remote, _, _ = served(tmp_path)
    serving.cannot_send(node.engine, remote.peer)
    remote.leave()
    node.settle()
    assert isinstance(remote.peer.torrent.stage, Live)


def test_pages_that_cannot_be_sent_though_they_can_be_read_end_one_connection_and_not_one_after_another(
    tmp_path: Path,
) -> None:
    """The disk finds nothing wrong with them: then all that is asked of the torrent is read."""
    node, remote, content, _ = served(tmp_path)
    torrent = remote.peer.torrent
    assert remote.peer.serving.lent
    serving.cannot_send(node.engine, remote.peer)
    remote.leave()
    node.settle()
    other = leech(node, torrent, content)
    other.link.blocked = True
    due = ask_for_all(other, content)
    node.settle()
    assert other.peer.talk.pending_payload
    assert not other.peer.serving.lent
    other.link.blocked = False
    other.peer.link.flush()
    node.settle()
    assert other.answers() == due


def test_a_storage_that_is_closed_before_anybody_looks_stops_nothing(tmp_path: Path) -> None:
    """Its files were on their way elsewhere, and are open again where they went."""
    node, remote, content, home = served(tmp_path)
    torrent = remote.peer.torrent
    node.cold.held = True
    serving.cannot_send(node.engine, remote.peer)
    remote.leave()
    old = torrent.opened()
    torrent.disk.storage = home.open(content.metainfo.info, content.info_hash)
    old.close()
    node.cold.held = False
    node.settle()
    assert isinstance(torrent.stage, Live)
