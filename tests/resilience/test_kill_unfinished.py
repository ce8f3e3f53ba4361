"""Killed in the middle of a large piece: what was on the disk and synced is not fetched again."""

from __future__ import annotations

from pathlib import Path

import trees
from anabranch.api import Metainfo, create
from anabranch.model import BLOCK_SIZE
from anabranch.storage import SessionStore, session_key
from ours import KIB, MIB, address_of, make_client
from resilience.program import Downloader

PIECE_LENGTH = 64 * MIB
RATE = 12 * MIB  # bytes per second
KEEP_EVERY = 0.3  # seconds, instead of ten


def blocks_remembered(metainfo: Metainfo, folder: Path) -> int:
    """How many blocks of the piece the session store has."""
    store = SessionStore(folder / "state")
    try:
        saved = store.load(session_key(metainfo.info.info_hash, folder / "data"))
    finally:
        store.close()
    assert saved is not None
    return int.from_bytes(saved.partial.get(0, b""), "big").bit_count()


def test_the_blocks_of_a_single_large_piece_survive_kill_9(tmp_path: Path) -> None:
    """The next run fetches what was not remembered, and not a byte more; the piece is hashed once."""
    original = trees.make_file(tmp_path / "seed" / "one.bin", PIECE_LENGTH - 100 * KIB, seed=5)
    data = create(original, piece_length=PIECE_LENGTH)
    metainfo = Metainfo.parse(data)
    assert metainfo.info.geometry.piece_count == 1
    (tmp_path / "one.torrent").write_bytes(data)
    with make_client(tmp_path / "seeder", "127.0.5.11", data_dir=original.parent) as seeder:
        assert seeder.add(data).checked.wait(30)
        with Downloader(tmp_path, "127.0.5.12", keep_every=KEEP_EVERY, download_rate=RATE) as program:
            program.add(tmp_path / "one.torrent", [address_of(seeder)])
            program.until_downloaded(30 * MIB)
            program.kill()
        remembered = blocks_remembered(metainfo, tmp_path)
        assert remembered >= 4 * MIB // BLOCK_SIZE
        with Downloader(tmp_path, "127.0.5.12") as program:
            program.add(tmp_path / "one.torrent")
            program.pieces()
            before = program.stats()["downloaded"]
            program.add(tmp_path / "one.torrent", [address_of(seeder)])
            assert program.wait_complete(30)
            told = program.stats()
    assert told["downloaded"] - before == metainfo.info.geometry.total - remembered * BLOCK_SIZE
    assert told["hashed"] == metainfo.info.geometry.total
    assert trees.digest(tmp_path / "data" / "one.bin") == trees.digest(original)
