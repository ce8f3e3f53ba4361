"""The back end in memory."""

from __future__ import annotations

from anabranch.storage import Bulk, Groups, MemoryStorage, ReadsWarm, Selects, Sparse
from anabranch.testing import StorageCheck
from storage.conformance import SMALL, every_rule
from storage.small_torrents import HASH, put


@every_rule
def test_memory_is_a_whole_back_end(check: StorageCheck) -> None:
    """By every rule but that what is recorded outlives closing."""
    check(MemoryStorage)


def test_it_has_every_ability_but_leaving_files_out() -> None:
    storage = MemoryStorage().open(SMALL, HASH)
    assert isinstance(storage, ReadsWarm | Groups | Bulk | Sparse)
    assert not isinstance(storage, Selects)
    assert storage.capacity is None


def test_warm_reads_stop_at_the_first_piece_that_is_not_there() -> None:
    storage = MemoryStorage().open(SMALL, HASH)
    put(storage, SMALL, 0, 1)
    room = bytearray(300)
    assert storage.read_warm(50, room) == 150
    assert room[:150] == SMALL.content[50:200]
    assert [storage.present(piece) for piece in range(4)] == [True, True, False, False]
