"""Content that is larger than the room for it, read from beginning to end and all over, while it is fetched."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from random import Random

import pytest

import trees
from anabranch.api import Address, Metainfo, Reader, Torrent, create
from anabranch.storage import CacheStorage, ClientStorage, SqliteStorage
from ours import KIB, MIB, address_of, make_client

SLACK = 4 * MIB  # begun pieces, and the blocks in which the file system keeps their places
SEED = Random(7)


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4 * KIB


def taken(directory: Path) -> int:
    """Bytes of the disk that the files of a cache, or a database without its log, have."""
    return sum(
        file.stat().st_blocks * 512 for kind in ("*.cache", "*.db") for file in directory.rglob(kind) if file.is_file()
    )


def stream(reader: Reader, length: int, look: Callable[[], object]) -> str:
    """Read all of *length* bytes, the digest; *look* after each megabyte."""
    digest = sha1()
    left = length
    while left:
        part = reader.read(min(left, MIB))
        assert part, f"{left} bytes are missing"
        digest.update(part)
        left -= len(part)
        look()
    return digest.hexdigest()


def stream_through(torrent: Torrent, file: Path, capacity: int, directory: Path, jumps: int) -> None:
    """From beginning to end, then all over and back to the beginning."""
    length = file.stat().st_size
    most = capacity + SLACK
    memory = resident()

    def look() -> None:
        assert taken(directory) <= most
        assert resident() - memory < 300 * MIB

    with file.open("rb") as content, torrent.reader() as reader:
        expected = sha1()
        while part := content.read(MIB):
            expected.update(part)
        assert stream(reader, length, look) == expected.hexdigest()
        whole = torrent.stats().downloaded
        assert length <= whole <= length * 1.1, "hardly anything was fetched twice"
        for _ in range(jumps):
            offset = SEED.randrange(length - 300 * KIB)
            reader.seek(offset)
            content.seek(offset)
            left = 300 * KIB
            while left:
                part = reader.read(left)
                assert part == content.read(len(part)), offset
                left -= len(part)
            look()
        reader.seek(0)
        content.seek(0)
        assert sha1(content.read(3 * MIB)).hexdigest() == stream(reader, 3 * MIB, look)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is looked up in /proc")
@pytest.mark.parametrize("kind", [CacheStorage, SqliteStorage])
def test_content_larger_than_the_room_is_streamed_through_it(
    tmp_path: Path, kind: Callable[[Path, int], ClientStorage]
) -> None:
    """64 MiB through 8 MiB: right bytes, hardly more fetched than read, never more on the disk than may be."""
    file = trees.make_file(tmp_path / "seed" / "data" / "film.bin", 64 * MIB, seed=1)
    torrent = create(file, piece_length=256 * KIB)
    home = kind(tmp_path / "small" / "pieces.db", 8 * MIB)
    with (
        make_client(tmp_path / "seed", "127.0.8.1") as seeder,
        make_client(tmp_path, "127.0.8.2", storage=home) as client,
    ):
        assert seeder.add(torrent).checked.wait(30)
        added = client.add(torrent)
        added.add_peers([address_of(seeder)])
        stream_through(added, file, 8 * MIB, tmp_path / "small", 20)


@pytest.mark.deep
@pytest.mark.interop
@pytest.mark.timeout(600)
def test_two_gibibytes_from_libtorrent_are_streamed_through_a_small_cache(tmp_path: Path) -> None:
    """The same with a real seeder: 2 GiB through 256 MiB."""
    pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")
    from interop.libtorrent_peer import LibtorrentPeer

    file = trees.make_file(tmp_path / "seed" / "film.bin", 2048 * MIB, seed=2)
    torrent = create(file, piece_length=MIB)
    home = CacheStorage(tmp_path / "cache", 256 * MIB)
    with LibtorrentPeer("127.0.8.3") as seeder, make_client(tmp_path, "127.0.8.4", storage=home) as client:
        seeder.add(torrent, file.parent, seed_mode=True)
        added = client.add(Metainfo.parse(torrent))
        added.add_peers([Address(seeder.host, seeder.port)])
        stream_through(added, file, 256 * MIB, tmp_path / "cache", 50)
