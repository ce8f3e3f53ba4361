"""What every back end must do, whatever it keeps bytes in: call conforms() with a way to open it empty."""

from __future__ import annotations

import pytest

from anabranch.model import Closed, StorageFailed
from anabranch.storage import Bulk, ClientStorage, Completion, Groups, ReadsWarm, Sparse
from storage.small_torrents import HASH, SmallFile, got, named, put, torrent, whole

SMALL = torrent(
    100, named("t/a", 130), named("t/empty", 0), named("t/b", 45), SmallFile(("p",), 25, pad=True), named("t/c", 177)
)


def conforms(client: ClientStorage) -> None:
    """Open a torrent that is not there yet, and go through its life."""
    storage = client.open(SMALL, HASH)
    assert [storage.piece(piece).completion() for piece in range(4)] == [Completion.INCOMPLETE] * 4

    with pytest.raises(StorageFailed):
        whole(storage, SMALL, 0)
    for index in (-1, 4):
        with pytest.raises(ValueError, match="of 4"):
            storage.piece(index)

    put(storage, SMALL, 0, 1, 3)
    assert [whole(storage, SMALL, piece) for piece in (0, 1, 3)] == [SMALL.of_piece(piece) for piece in (0, 1, 3)]
    assert got(storage.piece(1), 40, begin=20) == SMALL.of_piece(1)[20:60]
    assert got(storage.piece(3), 0, begin=77) == b""
    for begin, length in ((-1, 2), (70, 8), (78, 0)):
        with pytest.raises(ValueError, match="of a piece of 77"):
            storage.piece(3).readinto(begin, bytearray(length))
        with pytest.raises(ValueError, match="of a piece of 77"):
            storage.piece(3).writev(begin, [bytes(length)])

    storage.piece(0).mark_complete()
    storage.piece(3).mark_complete()
    storage.piece(3).mark_incomplete()
    assert storage.piece(0).completion() is Completion.COMPLETE
    assert storage.piece(3).completion() is Completion.INCOMPLETE

    if isinstance(storage, Groups) and isinstance(storage, Bulk):
        storage.record([1, 3], [2])
        known, complete = storage.completions()
        assert known.to01() == "1111"
        assert complete.to01() == "1101"
        with pytest.raises(ValueError, match="piece 4 of 4"):
            storage.record([4])
    if isinstance(storage, ReadsWarm):
        room = bytearray(120)
        warm = storage.read_warm(30, room)
        assert room[:warm] == SMALL.content[30 : 30 + warm]
    if isinstance(storage, Sparse):
        assert storage.present(0)

    storage.piece(0).writev(1, [b"x"])
    assert storage.piece(0).completion() is not Completion.COMPLETE
    storage.flush()
    storage.close()
    with pytest.raises(Closed):
        whole(storage, SMALL, 0)
    with pytest.raises(Closed):
        storage.piece(0).mark_complete()
