"""The books of a limited space: what choosing costs."""

from __future__ import annotations

import pytest
from bitarray import bitarray

from anabranch.model import InfoHash
from anabranch.storage.ledger import Ledger, Row, Shelf
from anabranch.storage.quota import Quota

ONE, OTHER = InfoHash(b"\x01" * 20), InfoHash(b"\x02" * 20)
PIECE = 4096


def shelf_of(ledger: Ledger, number: int, name: InfoHash, pieces: int) -> Shelf:
    """An open torrent of the cache."""
    ledger.shelves[number] = shelf = Shelf(Row(number, name, PIECE, pieces * PIECE), PIECE)
    ledger.enter(shelf)
    return shelf


def test_a_space_full_of_what_is_wanted_is_not_walked_over_for_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """350,000 pieces would be, under the lock, 160 ms each time. What goes then is what was used longest ago."""
    ledger = Ledger(200 * PIECE)
    full, fresh = shelf_of(ledger, 1, ONE, 200), shelf_of(ledger, 2, OTHER, 200)
    for piece in range(200):
        ledger.keep(full, piece)
        ledger.settle(full, piece)
    ledger.begin_reading(full, range(1))
    ledger.end_reading(full, range(1))
    everything = bitarray(200)
    everything.setall(True)
    wanted = {ONE: everything, OTHER: everything}
    walks = []
    surplus = Quota.surplus

    def counted(self: Quota[int], more: int, spared: object) -> list[int]:
        walks.append(more)
        return surplus(self, more, spared)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(Quota, "surplus", counted)
    gone = []
    for piece in range(5):
        for shelf, pieces, complete in ledger.dismiss(PIECE, wanted):
            assert (shelf, pieces) == (full, complete)
            gone += pieces
            for one in pieces:
                ledger.gone(shelf, one)
        ledger.keep(fresh, piece)
    assert gone == [1, 2, 3, 4, 5]
    assert walks == []
    everything = everything.copy()
    everything[[100, 150]] = False
    [(_, pieces, _)] = ledger.dismiss(PIECE, {ONE: everything})
    assert pieces == [100, 150], "nobody wants these, and a little is given up ahead"
    assert walks == []


def test_what_is_read_or_in_hands_is_not_among_what_nobody_wants() -> None:
    """However little of that there is."""
    ledger = Ledger(4 * PIECE)
    shelf = shelf_of(ledger, 1, ONE, 8)
    for piece in range(4):
        ledger.keep(shelf, piece)
        ledger.settle(shelf, piece)
    ledger.begin_reading(shelf, range(1))
    assert ledger.take(shelf, [1]) == [1]
    nothing = bitarray(8)
    nothing.setall(False)
    [(_, pieces, _)] = ledger.dismiss(4 * PIECE, {ONE: nothing})
    assert pieces == [2, 3]
