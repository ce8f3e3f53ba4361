"""Content whose last blocks have one byte, and pieces larger than all memory for them, from and to libtorrent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from interop.libtorrent_peer import LibtorrentPeer, make_torrent
from ours import KIB, MIB, address_of, finished, make_client, until

pytestmark = pytest.mark.interop

PIECE = 32 * KIB
ONE_MORE = {
    "than three blocks": 3 * 16 * KIB + 1,
    "than two pieces": 2 * PIECE + 1,
    "than nothing": 1,
}


def contents(place: Path, version: str) -> list[tuple[Path, bytes]]:
    """A torrent of each length, and one of files of all of them."""
    paths = [trees.make_file(place / f"{version} {n}.bin", length, n) for n, length in enumerate(ONE_MORE.values())]
    folder = place / f"{version} folder"
    for n, length in enumerate(ONE_MORE.values()):
        trees.make_file(folder / f"{n}.bin", length, 10 + n)
    return [(path, make_torrent(path, PIECE, version=version)) for path in [*paths, folder]]


def test_last_blocks_and_last_pieces_of_one_byte_go_both_ways(tmp_path: Path) -> None:
    """n * 16384 + 1 bytes, and a last piece of one byte, in v1, v2 and hybrids: from libtorrent, and back to it."""
    seed = tmp_path / "seed"
    every = [one for version in ("v1", "v2", "hybrid") for one in contents(seed, version)]
    with (
        LibtorrentPeer("127.0.4.1", encryption="off") as seeder,
        LibtorrentPeer("127.0.4.2", encryption="off") as leecher,
        make_client(tmp_path, "127.0.4.3") as client,
    ):
        torrents = []
        for path, data in every:
            seeder.add(data, path.parent, seed_mode=True)
            torrents.append(client.add(data))
            torrents[-1].download_all()
            torrents[-1].add_peers([(seeder.host, seeder.port)])
        for torrent in torrents:
            finished(torrent, 30)
            assert (torrent.stats().corrupt, torrent.stats().wasted) == (0, 0)
        names = [leecher.add(data, tmp_path / "leech") for _, data in every]
        for name in names:
            leecher.connect(*address_of(client), name)
        for name in names:
            leecher.wait_finished(30, name)
    for place in (tmp_path / "data", tmp_path / "leech"):
        assert {path.name: trees.digest(place / path.name) for path, _ in every} == {
            path.name: trees.digest(path) for path, _ in every
        }


SIZES = [
    pytest.param(4 * MIB, 1 * MIB, id="4 MiB in 1"),
    pytest.param(2 * MIB, 256 * KIB, id="2 MiB in a quarter"),
    pytest.param(128 * MIB, 64 * MIB, id="128 MiB in 64", marks=pytest.mark.deep),
]


@pytest.mark.parametrize(("piece_length", "pool"), SIZES)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_pieces_larger_than_the_pool_come_several_at_once(
    piece_length: int, pool: int, version: str, tmp_path: Path, most_lent: list[int]
) -> None:
    """Two torrents of them from two seeders each: in stretches, and the pool is never over its limit."""
    paths = [trees.make_file(tmp_path / "seed" / f"{n}.bin", 2 * piece_length + 1, n) for n in range(2)]
    torrents = [make_torrent(path, piece_length, version=version) for path in paths]
    with ExitStack() as stack:
        seeders = [stack.enter_context(LibtorrentPeer(f"127.0.4.{n + 4}", encryption="off")) for n in range(2)]
        for seeder in seeders:
            for torrent in torrents:
                seeder.add(torrent, tmp_path / "seed", seed_mode=True)
        client = stack.enter_context(make_client(tmp_path, "127.0.4.6", max_unverified_bytes=pool))
        addresses: Sequence[tuple[str, int]] = [(seeder.host, seeder.port) for seeder in seeders]
        added = [client.add(torrent) for torrent in torrents]
        for one in added:
            one.download_all()
            one.add_peers(addresses)
        for one in added:
            finished(one, 100)
            assert one.stats().corrupt == 0
        until(lambda: client._core.engine.pool.lent == 0)
    assert 0 < max(most_lent) <= pool
    for path in paths:
        assert trees.digest(tmp_path / "data" / path.name) == trees.digest(path)
