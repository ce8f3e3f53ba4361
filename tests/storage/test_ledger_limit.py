"""How large a cache has to be for what is wanted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InfoHash
from anabranch.storage import limit_for, stride_of
from anabranch.storage.ledger import Ledger, Row, Shelf

BLOCK = 4096


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 20_000)), min_size=1, max_size=3), st.data())
def test_what_is_said_to_fit_may_be_wanted(torrents: list[tuple[int, int]], data: st.DataObject) -> None:
    """Bytes of wanted pieces, with the smallest cache that is said to have room for them."""
    ledger = Ledger(0)
    wanted = whole = 0
    for number, (pieces, blocks) in enumerate(torrents):
        length = blocks * BLOCK
        shelf = Shelf(Row(number, InfoHash(bytes([number]) * 20), length, pieces * length), BLOCK)
        shelf.open = True
        ledger.shelves[number] = shelf
        wanted += data.draw(st.integers(1, pieces)) * length
        whole += pieces * length
    ledger.limit = limit_for(wanted, whole)
    assert wanted <= ledger.room()
    assert wanted <= ledger.limit <= whole


def test_a_piece_takes_whole_blocks_of_the_disk() -> None:
    """Those are freed together."""
    assert [stride_of(length, BLOCK) for length in (1, 4096, 4097)] == [4096, 4096, 8192]


def test_a_cache_that_is_smaller_than_its_torrents_is_to_be_larger_than_what_is_wanted() -> None:
    """A 32nd part of it stays free for what goes; where all of a torrent fits nothing has to."""
    assert limit_for(62 * 31, 100 * 31) == 64 * 31
    assert limit_for(100 * 31, 100 * 31) == 100 * 31
