"""Pieces, as users see them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from anabranch.api import Client, PieceState, Priority, events
from gates import GatedWrites
from origin import PIECE, Origin
from ours import until
from threads import PATIENCE


def test_a_piece_has_the_hash_and_length_that_the_torrent_says(origin: Origin, client: Client) -> None:
    """The last one is short."""
    pieces = origin.added(client).pieces
    assert len(pieces) == 37
    for piece in pieces:
        content = origin.content[piece.index * PIECE : (piece.index + 1) * PIECE]
        assert piece.length == len(content)
        assert piece.hash == hashlib.sha1(content).digest()


@pytest.mark.parametrize("index", [-1, 37])
def test_there_are_no_other_pieces(origin: Origin, client: Client, index: int) -> None:
    """A number that none has is a mistake."""
    with pytest.raises(ValueError, match="of 37"):
        origin.added(client).piece(index)


def test_a_piece_s_life_can_be_followed(origin: Origin, client: Client) -> None:
    """Missing, wanted, hashed and written, complete."""
    storage = GatedWrites()
    torrent = origin.added(client, storage=storage)
    piece = torrent.piece(5)
    none, normal = Priority.NONE, Priority.NORMAL
    assert piece.state == PieceState(known=True, complete=False, partial=False, hashing=False, priority=none)
    piece.priority = normal
    torrent.add_peers([origin.address])
    until(lambda: piece.state.hashing)
    assert not piece.state.complete
    storage.gate.set()
    assert torrent.complete.wait(PATIENCE)
    assert piece.state == PieceState(known=True, complete=True, partial=False, hashing=False, priority=normal)


def test_a_piece_has_a_worth_of_its_own_beside_its_files(origin: Origin, client: Client) -> None:
    """The more of both counts, and each can be taken back by itself."""
    torrent = origin.added(client)
    piece = torrent.piece(2)
    for its, file_s, worth in [(2, 0, 2), (2, 1, 2), (0, 1, 1), (0, 0, 0), (1, 2, 2)]:
        piece.priority = Priority(its)
        torrent.files[0].priority = Priority(file_s)
        assert piece.priority == piece.state.priority == worth


def test_only_priorities_are_taken(origin: Origin, client: Client) -> None:
    """A number that means none changes nothing."""
    piece = origin.added(client).piece(2)
    with pytest.raises(ValueError, match="17"):
        piece.priority = 17  # type: ignore[assignment]  # the mistake under test
    assert piece.priority is Priority.NONE


def test_a_piece_that_is_wrong_on_disk_is_found_and_fetched_again(origin: Origin, client: Client) -> None:
    """One piece is hashed, not all; peers and subscribers hear of it."""
    torrent = origin.copied(client)
    path = Path(torrent.data_dir, "content", "a.bin")
    with path.open("r+b") as file:
        file.seek(3 * PIECE + 9)
        file.write(b"damaged")
    feed = client.events()
    torrent.piece(4).verify()
    assert torrent.checked.wait(PATIENCE)
    assert torrent.piece(4).state.complete
    assert torrent.piece(3).state.complete
    torrent.allow_download(False)
    torrent.piece(3).verify()
    assert torrent.checked.wait(PATIENCE)
    assert not torrent.piece(3).state.complete
    assert not torrent.complete.is_set
    torrent.allow_download(True)
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    told = [event for event in (feed.get(1) for _ in range(len(feed))) if isinstance(event, events.PieceChanged)]
    assert [(event.piece, event.complete) for event in told] in ([(3, False), (3, True)], [(3, True)])
    assert path.read_bytes() == origin.content[:1_000_001]
