"""What must be true of an engine's state at any time between turns, worked out the slow and simple way."""

from __future__ import annotations

from collections import defaultdict

from anabranch.engine.asking import COPIES, Aside
from anabranch.engine.buffers import Buffer
from anabranch.engine.state import TorrentState
from anabranch.model import BLOCK_SIZE
from engine.rig import Node


def check(node: Node) -> None:
    for torrent in node.engine.torrents.values():
        check_pieces(torrent)
        check_requests(torrent)
    check_memory(node)


def check_pieces(torrent: TorrentState) -> None:
    """Counts are counts, and the order holds exactly what may be asked for (where no sweep is under way)."""
    table = torrent.pieces
    pieces = range(table.geometry.piece_count)
    assert table.complete_count == table.complete.count()
    assert table.missing_wanted == sum(bool(table.worth[one]) and not table.complete[one] for one in pieces)
    assert not set(table.begun) & table.busy
    assert set(torrent.holding.finishing) == table.busy
    if torrent.worth.sweeps:
        return
    held = {one for one in pieces if one in table.order}
    askable = {one for one in pieces if table.requestable(one)}
    due = set(pieces) if table.ordering.shared is not None else askable
    assert held == (due if table.ordered else set())
    assert not held or {one for one in pieces if table.askable and table.askable[one]} == askable
    assert table.ordered or not torrent.swarm.peers
    assert all(table.order.get(one) == table.standing(one) for one in held)
    assert {one for one in pieces if table.order.members[one]} == held
    peers = torrent.swarm.peers.values()
    assert table.seeds == sum(peer.among_seeds for peer in peers)
    assert all(peer.among_seeds for peer in peers if peer.has_all)
    if all(peer.counted == len(pieces) for peer in peers if not peer.among_seeds):
        for one in pieces:
            plain = sum(bool(peer.has[one]) for peer in peers if not peer.among_seeds)
            lost = sum(not peer.has[one] for peer in peers if peer.among_seeds)
            assert table.availability[one] == plain - lost, one


def check_requests(torrent: TorrentState) -> None:
    """Who owes which block: each is owed by at most three, and at most one of them lands in the piece's memory."""
    table, holding = torrent.pieces, torrent.holding
    owed: dict[tuple[int, int], int] = defaultdict(int)
    in_place: dict[tuple[int, int], int] = defaultdict(int)
    for peer in torrent.swarm.peers.values():
        for piece, begin, length, token in peer.talk.expected_runs():
            assert piece in table.begun, f"piece {piece} is owed and not begun"
            for block in range(begin // BLOCK_SIZE, -(-(begin + length) // BLOCK_SIZE)):
                owed[piece, block] += 1
                if isinstance(token, Aside):
                    continue
                in_place[piece, block] += 1
                assert isinstance(token, Buffer)
                assert holding.buffers[piece, block // holding.stretch_blocks] is token, "owed into foreign memory"
    for (piece, block), count in owed.items():
        progress = table.begun[piece]
        assert count <= COPIES
        assert in_place[piece, block] <= 1
        assert not progress.got[block], f"block {block} of {piece} is here and still owed"
        assert not progress._free[block], f"block {block} of {piece} is owed and free"
        assert progress.copies.get(block, 1) == count
    for piece, progress in table.begun.items():
        assert progress.missing == progress.got.count(0) > 0
        for block in range(progress.blocks):
            if not progress.got[block] and not progress._free[block]:
                assert owed[piece, block], f"block {block} of {piece} is neither here, owed nor free"


def check_memory(node: Node) -> None:
    """What is lent is held by somebody, and never more than the limit (but for a single buffer)."""
    pool = node.engine.pool
    held = sum(
        len(buffer.data) for torrent in node.engine.torrents.values() for buffer in torrent.holding.buffers.values()
    )
    writing = any(torrent.holding.writing for torrent in node.engine.torrents.values())
    closing = bool(node.engine.due.closing)
    assert held <= pool.lent
    assert held == pool.lent or writing or closing
    assert pool.lent <= pool.limit or held <= max(
        (len(b.data) for t in node.engine.torrents.values() for b in t.holding.buffers.values()), default=0
    )
