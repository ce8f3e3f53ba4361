"""What resume data may say of content that is kept in something else than files."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.engine.homes_io import CACHE, DATABASE, STAGING
from anabranch.storage import CacheStorage, ClientStorage, Handles, ObjectStorage, SqliteStorage
from origin import Origin
from ours import make_client, until
from threads import PATIENCE


def storage_of(kind: str, folder: Path) -> ClientStorage:
    """What a client with *folder*/data makes of that kind."""
    data = folder / "data"
    if kind == "sqlite":
        return SqliteStorage(data / DATABASE)
    if kind == "cache":
        return CacheStorage(data / CACHE, 1 << 30)
    return ObjectStorage(kind, data / STAGING, handles=Handles())


@pytest.mark.parametrize("remembers", [True, False], ids=["state", "no state"])
@pytest.mark.parametrize("kind", ["sqlite", "cache", "object"])
def test_resume_data_never_say_of_a_half_written_piece_that_it_is_complete(
    origin: Origin, tmp_path: Path, kind: str, remembers: bool
) -> None:
    """What keeps its records with the bytes knows better: what is not there is fetched, what is there is hashed.

    The end of a piece is there: of an object, that is a file of the right length. None of it ends the torrent.
    """
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    kind = (tmp_path / "objects").as_uri() if kind == "object" else kind
    (tmp_path / "objects").mkdir()
    with make_client(here, "127.0.7.4") as first:
        torrent = origin.copied(first)
        resume = torrent.resume_data()
    info, info_hash = origin.metainfo.info, origin.metainfo.info.info_hash
    storage = storage_of(kind, there).open(info, info_hash)
    length = info.geometry.length_of(5)
    storage.piece(5).writev(length - 100, [bytes(100)])
    storage.piece(6).writev(0, [origin.content[info.geometry.offset_of(6) :][: info.geometry.length_of(6)]])
    storage.close()
    state = there / "state" if remembers else None
    with make_client(there, "127.0.7.5", storage=kind, state_dir=state) as second:
        torrent = origin.added(second, resume=resume)
        assert torrent.checked.wait(PATIENCE)
        until(lambda: torrent.piece_states()[6].complete)
        assert [piece for piece, one in enumerate(torrent.piece_states()) if one.complete] == [6]
        torrent.download_all()
        torrent.add_peers([origin.address])
        assert torrent.complete.wait(PATIENCE)
        with torrent.passive_reader() as reader:
            assert reader.read() == origin.content
