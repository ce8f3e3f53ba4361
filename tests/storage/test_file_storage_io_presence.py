"""Which pieces may be on the disk: told for all at once as for each alone, and by runs of data."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from anabranch.storage import FileStorage
from storage.small_torrents import HASH, SmallFile, named, put, torrent


@pytest.mark.parametrize("seed", range(12))
def test_all_pieces_at_once_are_what_they_are_one_by_one(seed: int, tmp_path: Path) -> None:
    """Whole files, part files with holes, files in the parts file, missing, empty and pad files."""
    draw = Random(seed)
    lengths = [draw.choice([0, 1, 5_000, 70_000, 300_000]) for _ in range(8)]
    files = [named(f"{number}", length) for number, length in enumerate(lengths)]
    files.insert(3, SmallFile(("pad",), 3_000, pad=True))
    small = torrent(16_384, *files, named("last", 40_000))
    home = FileStorage(tmp_path)
    storage = home.open(small, HASH)
    storage.select([draw.random() < 0.6 for _ in small.files])
    pieces = range(small.geometry.piece_count)
    written = [piece for piece in pieces if draw.random() < 0.3]
    put(storage, small, *written)
    if draw.random() < 0.5:
        storage.record(written)
    storage.close()
    storage = home.open(small, HASH)
    found = storage.presence()
    assert list(found) == [storage.present(piece) for piece in pieces]
    assert all(found[piece] for piece in written if small.of_piece(piece).strip(b"\0"))
    storage.close()
