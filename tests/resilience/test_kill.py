"""Killed at any moment: what is recorded is right, and what is right on the disk is not fetched again.

ANABRANCH_KILLS=67 with `-m deep` is the campaign of 200; what it counted is printed with -s, and in the XML report.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

import trees
from anabranch.api import Metainfo, create
from interop.libtorrent_peer import LibtorrentPeer
from ours import KIB, MIB, address_of, make_client
from resilience.program import Downloader, pieces_on_disk, pieces_recorded

RATE = 3 * MIB  # bytes per second, so that there is something to kill; pieces are recorded once a second
BEGUN = 4  # pieces that may have been under way when the program was killed, whose bytes are lost

MANY = int(os.environ.get("ANABRANCH_KILLS", "20"))  # kills of each kind in the long run
DEEP = [pytest.mark.deep, pytest.mark.timeout(60 + 20 * MANY)]
CAMPAIGN = [
    ("ours", "file", 4),
    pytest.param("libtorrent", "file", 4, marks=pytest.mark.interop),
    ("ours", "sqlite", 3),
    ("ours", "cache", 3),
    pytest.param("ours", "file", MANY, marks=DEEP),
    pytest.param("libtorrent", "file", MANY, marks=[*DEEP, pytest.mark.interop]),
    pytest.param("libtorrent", "sqlite", MANY, marks=[*DEEP, pytest.mark.interop]),
    pytest.param("ours", "cache", MANY, marks=DEEP),
]


def seeder_of(kind: str, original: Path, data: bytes, folder: Path, stack: ExitStack) -> tuple[str, int]:
    """Start somebody who has everything; where it listens."""
    if kind == "ours":
        client = stack.enter_context(make_client(folder, "127.0.5.1", data_dir=original.parent))
        assert client.add(data).checked.wait(30)
        return address_of(client)
    pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")
    seeder = stack.enter_context(LibtorrentPeer("127.0.5.1"))
    seeder.add(data, original.parent)
    return seeder.host, seeder.port


@pytest.mark.parametrize(("kind", "storage", "kills"), CAMPAIGN)
def test_a_download_that_is_killed_again_and_again_completes(
    tmp_path: Path, kind: str, storage: str, kills: int, record_property: Callable[[str, object], None]
) -> None:
    """W41: after each kill no recorded piece is wrong, and the next run starts with all that was right on the disk."""
    draw = Random(f"{kind} {storage} {kills}")
    original = trees.make_folder(tmp_path / "seed" / "folder", 30, largest=MIB)
    trees.make_file(original / "large.bin", kills * 4 * MIB, seed=99)
    data = create(original, piece_length=64 * KIB)
    (tmp_path / "folder.torrent").write_bytes(data)
    metainfo = Metainfo.parse(data)
    geometry = metainfo.info.geometry
    fetched = 0
    ever_recorded: set[int] = set()
    most_unrecorded = 0

    with ExitStack() as stack:
        seeder = seeder_of(kind, original, data, tmp_path / "seeder", stack)
        before: set[int] = set()
        for kill in range(kills + 1):
            if kill % 3 == 2:
                with Downloader(
                    tmp_path, "127.0.5.2", storage=storage
                ) as program:  # killed while it hashes what is there
                    program.add(tmp_path / "folder.torrent", [seeder])
            rate = RATE if kill < kills else None
            with Downloader(tmp_path, "127.0.5.2", download_rate=rate, storage=storage) as program:
                program.add(tmp_path / "folder.torrent")
                assert program.pieces() == before
                first = program.stats()["downloaded"]
                program.add(tmp_path / "folder.torrent", [seeder])
                missing = geometry.total - sum(map(geometry.length_of, before))
                if kill == kills:
                    assert program.wait_complete(60)
                    last = program.stats()["downloaded"]
                    assert last - first == missing
                    break
                moment = first + (draw.randrange(3 * MIB) if kill % 2 else draw.randrange(4 * MIB, 5 * MIB))
                program.until_downloaded(moment)
                last = program.stats()["downloaded"]
                program.kill()
            assert last - first <= missing
            fetched += last - first
            right = pieces_on_disk(metainfo, tmp_path / "data", storage)
            ever_recorded |= pieces_recorded(metainfo, tmp_path, storage)
            assert ever_recorded <= right
            assert before <= right
            most_unrecorded = max(most_unrecorded, len(right - ever_recorded))
            before = right
        assert 0 < len(ever_recorded) < geometry.piece_count
        twice = fetched + last - first - geometry.total
        assert twice <= kills * BEGUN * geometry.piece_length
    told = f"{kills} kills, {geometry.piece_count} pieces, 0 wrong, {most_unrecorded} unrecorded, {twice} bytes twice"
    record_property("campaign", told)
    print(f"{kind} {storage}: {told}")
    if storage == "file":
        assert trees.digest(tmp_path / "data" / "folder") == trees.digest(original)
    else:
        assert pieces_on_disk(metainfo, tmp_path / "data", storage) == set(range(geometry.piece_count))
