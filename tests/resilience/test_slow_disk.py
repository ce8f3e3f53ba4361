"""A disk that takes its time, or never answers: it slows its own torrents, with bounded memory, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from anabranch.api import Address, Client, Metainfo, Torrent, create
from anabranch.metainfo import due_of, is_right
from anabranch.storage import ClientStorage, MemoryStorage
from gates import SlowDisk, SlowToOpen
from interop.libtorrent_peer import LibtorrentPeer
from ours import KIB, MIB, address_of, finished, make_client, until

LENGTH = 5 * MIB  # of each torrent: more than the pool
POOL = 3 * MIB


class Wares:
    """Torrents of random bytes, and where they lie.

    Args:
        place: For the files.
        number: How many.
    """

    def __init__(self, place: Path, number: int) -> None:
        self.place = place / "wares"
        self.place.mkdir()
        self.contents = [Random(seed).randbytes(LENGTH) for seed in range(number)]
        self.torrents: list[bytes] = []
        for seed, content in enumerate(self.contents):
            path = self.place / f"{seed}.bin"
            path.write_bytes(content)
            self.torrents.append(create(path, piece_length=64 * KIB))


@contextmanager
def seeding(wares: Wares, place: Path) -> Iterator[Address]:
    """A client of ours that has all of them."""
    with make_client(place / "seeder", "127.0.5.1", data_dir=wares.place) as seeder:
        assert all(seeder.add(torrent).checked.wait(30) for torrent in wares.torrents)
        yield address_of(seeder)


@contextmanager
def libtorrent_seeding(wares: Wares, place: Path) -> Iterator[Address]:
    """libtorrent, which has all of them."""
    pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")
    with LibtorrentPeer("127.0.5.1") as seeder:
        for torrent in wares.torrents:
            seeder.add(torrent, wares.place)
        yield Address(seeder.host, seeder.port)


def added(client: Client, wares: Wares, number: int, storage: ClientStorage, peer: Address | None = None) -> Torrent:
    """One of the torrents, checked; downloading from the peer where there is one."""
    torrent = client.add(wares.torrents[number], storage=storage)
    assert torrent.checked.wait(30)
    if peer is not None:
        torrent.download_all()
        torrent.add_peers([peer])
    return torrent


def right(torrent: Torrent, content: bytes) -> bool:
    with torrent.reader() as reader:
        return reader.read() == content


def settled(client: Client, torrent: Torrent) -> None:
    """Wait until the torrent gets no further."""
    before = -1

    def stands() -> bool:
        nonlocal before
        last, before = before, torrent.stats().downloaded
        return before == last > 0

    until(stands)


@pytest.mark.parametrize("kind", ["write", "flush", "hash"])
@pytest.mark.parametrize("seeder", [seeding, pytest.param(libtorrent_seeding, marks=pytest.mark.interop)])
def test_a_disk_or_hasher_that_hangs_slows_its_own_torrent_only(
    kind: str, seeder: Any, tmp_path: Path, most_lent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """W17: the other torrent comes whole while the first calls of this one still wait; then this one does, too."""
    wares = Wares(tmp_path, 2)
    disk = SlowDisk(kind)
    if kind == "hash":
        info = Metainfo.parse(wares.torrents[0]).info
        dues = {due_of(info, None, piece) for piece in range(info.geometry.piece_count)}

        def slow(view: memoryview, due: Any, digest: bytes) -> bool:
            if due in dues:
                disk.come("hash")
            return is_right(view, due, digest)

        monkeypatch.setattr("anabranch.engine.jobs.is_right", slow)
    with (
        seeder(wares, tmp_path) as address,
        make_client(tmp_path, "127.0.5.2", max_unverified_bytes=POOL) as client,
    ):
        torrent = added(client, wares, 0, disk, address)
        until(lambda: disk.waiting)
        settled(client, torrent)
        other = added(client, wares, 1, MemoryStorage(), address)
        finished(other, 30)
        assert right(other, wares.contents[1])
        assert disk.waiting <= 2
        assert not torrent.complete.is_set
        if kind != "flush":
            assert torrent.stats().pieces_complete == 0
            assert client._core.engine.pool.lent > POOL // 2  # back-pressure: it waits with what it has
        disk.gate.set()
        finished(torrent, 30)
        assert right(torrent, wares.contents[0])
        until(lambda: client._core.engine.pool.lent == 0)
    assert 0 < max(most_lent) <= POOL


def test_many_torrents_on_a_disk_that_hangs_slow_nobody_elsewhere(tmp_path: Path, most_lent: list[int]) -> None:
    """Twelve of them, each with pieces to write: no worker is left over, and yet there is one; some memory, too."""
    wares = Wares(tmp_path, 13)
    disk = SlowDisk("write")
    with (
        seeding(wares, tmp_path) as address,
        make_client(tmp_path, "127.0.5.2", max_unverified_bytes=POOL) as client,
    ):
        slow = [added(client, wares, number, disk) for number in range(12)]
        for torrent in slow:
            torrent.download_all()
            torrent.add_peers([address])
        until(lambda: disk.waiting == 2 * client._core._disk._count)
        other = added(client, wares, 12, MemoryStorage(), address)
        finished(other, 30)
        assert right(other, wares.contents[12])
        assert disk.waiting == 2 * client._core._disk._count
        disk.gate.set()
        for torrent in slow:
            finished(torrent, 30)
    assert 0 < max(most_lent) <= POOL


def test_reads_that_hang_hold_up_their_own_torrent_only(tmp_path: Path) -> None:
    """Cold data, which workers read: five peers wait for it, the loop and the peers of another torrent do not."""
    wares = Wares(tmp_path, 2)
    disk = SlowDisk("read", content=wares.contents[0])
    here = SlowToOpen(wares.contents[1])
    here.gate.set()
    with ExitStack() as stack:
        seeder = stack.enter_context(make_client(tmp_path / "seeder", "127.0.5.1"))
        torrent = added(seeder, wares, 0, disk)
        assert torrent.stats().pieces_complete == torrent.piece_count
        added(seeder, wares, 1, here)
        waiting: list[Torrent] = []
        for number in range(5):
            client = stack.enter_context(make_client(tmp_path / str(number), f"127.0.5.{number + 2}"))
            waiting.append(added(client, wares, 0, MemoryStorage(), address_of(seeder)))
        until(lambda: disk.waiting >= 4)
        other = added(client, wares, 1, MemoryStorage(), address_of(seeder))
        finished(other, 30)
        assert right(other, wares.contents[1])
        assert not any(one.stats().downloaded for one in waiting)
        disk.gate.set()
        for one in waiting:
            finished(one, 30)
            assert right(one, wares.contents[0])
