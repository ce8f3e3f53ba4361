"""More than a seeder and a leecher: halves that complete each other, several of ours, IPv6, other loops, slow lines."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.api import Client, Torrent, create
from anabranch.engine import link_io
from anabranch.net import Bucket
from interop.libtorrent_peer import LibtorrentPeer
from ours import KIB, MIB, address_of, finished, make_client, until, until_downloaded

pytestmark = pytest.mark.interop

LENGTH = 12 * MIB + 12345
MIDDLE = 6 * MIB  # a piece's end


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The content of these tests."""
    return trees.make_file(tmp_path / "seed" / "swarm.bin", LENGTH, seed=11)


def half_of(original: Path, folder: Path, second: bool) -> Path:
    """A copy of which only one half is there, the other being a hole or missing."""
    folder.mkdir(parents=True)
    with original.open("rb") as source, (folder / original.name).open("wb") as target:
        for file in (source, target):
            file.seek(MIDDLE if second else 0)
        target.write(source.read() if second else source.read(MIDDLE))
    return folder


def same(folder: Path, original: Path) -> bool:
    """Whether the content arrived, under its name."""
    return trees.digest(folder / original.name) == trees.digest(original)


def test_two_of_ours_with_a_half_each_complete_each_other(original: Path, tmp_path: Path) -> None:
    """Both ways at once, over one connection or two; neither fetches what it has."""
    data = create(original, piece_length=64 * KIB)
    half_of(original, tmp_path / "a" / "data", second=False)
    half_of(original, tmp_path / "b" / "data", second=True)
    with make_client(tmp_path / "a", "127.0.2.1") as one, make_client(tmp_path / "b", "127.0.2.2") as other:
        pair = [client.add(data) for client in (one, other)]
        for torrent, peer in zip(pair, (other, one), strict=True):
            assert torrent.checked.wait(30)
            assert torrent.stats().pieces_complete in (96, 97)
            torrent.download_all()
            torrent.add_peers([address_of(peer)])
        for torrent in pair:
            finished(torrent, 30)
        assert sorted(torrent.stats().downloaded for torrent in pair) == [MIDDLE, LENGTH - MIDDLE]
    assert same(tmp_path / "a" / "data", original)
    assert same(tmp_path / "b" / "data", original)


def test_libtorrent_and_we_with_a_half_each_complete_each_other(original: Path, tmp_path: Path) -> None:
    """Tit for tat between two kinds of client."""
    data = create(original, piece_length=64 * KIB)
    half_of(original, tmp_path / "ours" / "data", second=True)
    half_of(original, tmp_path / "theirs", second=False)
    with LibtorrentPeer("127.0.2.3") as theirs, make_client(tmp_path / "ours", "127.0.2.4") as client:
        theirs.add(data, tmp_path / "theirs")
        torrent = client.add(data)
        torrent.download_all()
        assert torrent.checked.wait(30)
        torrent.add_peers([(theirs.host, theirs.port)])
        finished(torrent, 30)
        theirs.wait_finished(30)
    assert same(tmp_path / "ours" / "data", original)
    assert same(tmp_path / "theirs", original)


def test_three_of_ours_share_what_one_libtorrent_seeds(original: Path, tmp_path: Path) -> None:
    """What one has got it gives to the others: the seed need not send everything three times."""
    data = create(original, piece_length=64 * KIB)
    with LibtorrentPeer("127.0.2.5") as seeder, ExitStack() as stack:
        seeder.add(data, original.parent)
        clients = [stack.enter_context(make_client(tmp_path / str(n), f"127.0.2.{6 + n}")) for n in range(3)]
        torrents = [client.add(data) for client in clients]
        for torrent, client in zip(torrents, clients, strict=True):
            torrent.download_all()
            others = [address_of(other) for other in clients if other is not client]
            torrent.add_peers([(seeder.host, seeder.port), *others])
        for torrent in torrents:
            finished(torrent, 40)
        given = seeder.stats()["uploaded"]
        shared = sum(torrent.stats().uploaded for torrent in torrents)
        assert shared > 0
        assert given + shared >= 3 * LENGTH
        assert all(torrent.stats().corrupt == 0 for torrent in torrents)
    assert all(same(tmp_path / str(n) / "data", original) for n in range(3))


def test_ipv6_serves_as_well(original: Path, tmp_path: Path) -> None:
    """We dial libtorrent at ::1, and it dials us, which it does with encryption first and without when we refuse."""
    data = create(original)
    with LibtorrentPeer("::1") as theirs, make_client(tmp_path / "first", "::1") as first:
        torrent = first.add(data)
        torrent.download_all()
        theirs.add(data, original.parent)
        torrent.add_peers([("::1", theirs.port)])
        finished(torrent, 30)
        assert {peer.address.host for peer in torrent.peers()} <= {"::1"}
        with LibtorrentPeer("::1") as leecher:
            leecher.add(data, tmp_path / "theirs")
            leecher.connect(*address_of(first))
            leecher.wait_finished(30)
    assert same(tmp_path / "first" / "data", original)
    assert same(tmp_path / "theirs", original)


def to_and_fro(original: Path, folder: Path, host: str) -> None:
    """From libtorrent to us, and from us to another libtorrent."""
    data = create(original, piece_length=256 * KIB)
    with LibtorrentPeer(host) as seeder, make_client(folder / "ours", host) as client:
        seeder.add(data, original.parent)
        torrent = client.add(data)
        torrent.download_all()
        torrent.add_peers([(seeder.host, seeder.port)])
        finished(torrent, 30)
        with LibtorrentPeer(host, encryption="off") as leecher:
            leecher.add(data, folder / "theirs")
            leecher.connect(*address_of(client))
            leecher.wait_finished(30)
    assert same(folder / "ours" / "data", original)
    assert same(folder / "theirs", original)


def test_a_system_without_the_fast_calls_is_served_the_plain_way(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows and parts of macOS know neither recvmsg_into nor sendmsg nor preadv."""
    for name in ("preadv", "pwritev", "pread", "pwrite", "RWF_NOWAIT", "posix_fadvise", "SEEK_DATA", "SEEK_HOLE"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(link_io, "_CAN_SCATTER", False)
    monkeypatch.setattr(link_io, "_CAN_GATHER", False)
    to_and_fro(original, tmp_path, "127.0.2.10")


def test_asyncios_own_loop_serves_as_well(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where uvloop is not installed."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    to_and_fro(original, tmp_path, "127.0.2.11")


RATE = 4 * MIB  # bytes per second
BURST = RATE // 4 + 16 * KIB  # what may come at once


def watch(torrent: Torrent, began: float, moved: str) -> int:
    """Look on until the torrent says that it moved LENGTH bytes: never more than the time that passed allows."""
    looks = 0

    def done() -> bool:
        nonlocal looks
        looks += 1
        count = getattr(torrent.stats(), moved)
        assert count <= RATE * (time.monotonic() - began) + BURST
        return bool(count >= LENGTH)

    until(done, 60)
    return looks


@pytest.fixture
def grants(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the rate was asked for and granted."""
    given: list[int] = []
    plain = link_io._granted

    def granted(bucket: Bucket, wanted: int, now: float) -> int:
        given.append(plain(bucket, wanted, now))
        return given[-1]

    monkeypatch.setattr(link_io, "_granted", granted)
    return given


def test_the_download_rate_is_never_exceeded(original: Path, tmp_path: Path, grants: list[int]) -> None:
    """At no moment is more here than the rate and one burst allow; and the waiting costs nothing."""
    with LibtorrentPeer("127.0.2.12") as seeder:
        seeder.add(create(original), original.parent)
        began = time.monotonic()
        with make_client(tmp_path, "127.0.2.13", download_rate=RATE) as client:
            torrent = client.add(create(original))
            torrent.download_all()
            torrent.add_peers([(seeder.host, seeder.port)])
            assert watch(torrent, began, "downloaded") > 10
            finished(torrent, 10)
    assert same(tmp_path / "data", original)
    assert 100 < len(grants) < 3000  # a loop that spins asks a hundred thousand times


def test_the_upload_rate_is_never_exceeded(original: Path, tmp_path: Path, grants: list[int]) -> None:
    """However much the peer asks meanwhile."""
    began = time.monotonic()
    with make_client(tmp_path, "127.0.2.14", data_dir=original.parent, upload_rate=RATE) as client:
        torrent = client.add(create(original))
        assert torrent.checked.wait(30)
        with LibtorrentPeer("127.0.2.15", encryption="off") as leecher:
            leecher.add(create(original), tmp_path / "theirs")
            leecher.connect(*address_of(client))
            assert watch(torrent, began, "uploaded") > 10
            leecher.wait_finished(30)
    assert same(tmp_path / "theirs", original)
    assert 100 < len(grants) < 3000


def stood_still(torrent: Torrent) -> None:
    """Wait until nothing has come for half a second."""
    since, last = time.monotonic(), -1

    def still() -> bool:
        nonlocal since, last
        count = torrent.stats().downloaded
        if count != last:
            since, last = time.monotonic(), count
        return time.monotonic() > since + 0.5

    until(still, 20)


@pytest.mark.parametrize("which", ["down", "up"])
def test_a_changed_rate_takes_effect_on_connections_that_wait(original: Path, tmp_path: Path, which: str) -> None:
    """A rate of nothing stops everything; without it all goes on."""

    def limit(client: Client, rate: float | None) -> None:
        client.set_rates(rate if which == "down" else None, rate if which == "up" else None)

    with (
        make_client(tmp_path / "a", "127.0.2.16", data_dir=original.parent) as seeder,
        make_client(tmp_path / "b", "127.0.2.17") as leecher,
    ):
        limited = leecher if which == "down" else seeder
        limit(limited, 4 * MIB)
        assert seeder.add(create(original)).checked.wait(30)
        torrent = leecher.add(create(original))
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        until_downloaded(torrent, MIB)
        limit(limited, 0)
        stood_still(torrent)
        assert torrent.stats().downloaded < LENGTH
        limit(limited, None)
        finished(torrent, 20)
    assert same(tmp_path / "b" / "data", original)
