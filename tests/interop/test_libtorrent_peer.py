"""The real-peer harness itself: libtorrent to libtorrent, before ours stands on one of the sides."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from interop.libtorrent_peer import LibtorrentPeer, make_torrent
from interop.real_program import PeerProgramFailed

pytestmark = pytest.mark.interop

MIB = 1024 * 1024


@pytest.mark.parametrize("encryption", ["off", "require"])
def test_a_file_goes_from_one_libtorrent_to_another(tmp_path: Path, encryption: str) -> None:
    """8 MiB over loopback, checked by its hash; both sides tell what they moved and what it cost."""
    original = trees.make_file(tmp_path / "seed" / "8 MiB ü.bin", 8 * MIB, seed=1)
    torrent = make_torrent(original, 64 * 1024)
    stay = {"close_redundant_connections": False}
    seeding = LibtorrentPeer("127.0.0.1", encryption=encryption, settings=stay)
    with seeding as seeder, LibtorrentPeer("127.0.0.2", settings=stay) as leecher:
        name = seeder.add(torrent, original.parent)
        assert seeder.stats()["finished"]
        assert leecher.add(torrent, tmp_path / "leech") == name
        assert leecher.stats()["progress"] == 0
        leecher.connect(seeder.host, seeder.port)
        leecher.wait_finished(30)
        assert trees.digest(tmp_path / "leech" / original.name) == trees.digest(original)
        [peer] = leecher.stats()["peers"]
        assert (peer["host"], peer["port"], peer["encrypted"]) == (seeder.host, seeder.port, encryption == "require")
        assert leecher.stats()["downloaded"] >= 8 * MIB
        assert seeder.stats()["uploaded"] >= 8 * MIB
        assert seeder.stats()["cpu_seconds"] > 0
        assert leecher.stats()["peak_memory"] > MIB


def test_a_folder_is_torrented_and_seeded(tmp_path: Path) -> None:
    """Unusual names, empty files and all; and by a magnet link, which brings the metadata first."""
    original = trees.make_folder(tmp_path / "seed" / "folder", files=30, largest=200_000)
    torrent = make_torrent(original, 32 * 1024)
    with LibtorrentPeer() as seeder, LibtorrentPeer() as leecher:
        name = seeder.add(torrent, original.parent)
        leecher.add(f"magnet:?xt=urn:btih:{name}", tmp_path / "leech")
        seeder.connect(leecher.host, leecher.port)
        leecher.wait_finished(30)
    assert trees.digest(tmp_path / "leech" / "folder") == trees.digest(original)


def test_what_goes_wrong_on_the_other_side_is_told_to_the_test(tmp_path: Path) -> None:
    """A test fails with libtorrent's words, never by waiting for ever; nothing stays behind."""
    original = trees.make_file(tmp_path / "seed" / "a.bin", MIB)
    with LibtorrentPeer() as alone:
        alone.add(make_torrent(original), tmp_path / "elsewhere")
        with pytest.raises(PeerProgramFailed, match=r"finished: not within 0\.2 s"):
            alone.wait_finished(0.2)
        with pytest.raises(PeerProgramFailed, match="KeyError"):
            alone.stats("no such torrent")
        with pytest.raises(PeerProgramFailed, match="Address already in use"), LibtorrentPeer(port=alone.port):
            pass
        os.kill(alone.pid, signal.SIGKILL)
        with pytest.raises(PeerProgramFailed, match="gone"):
            alone.stats()
    with pytest.raises(ProcessLookupError):
        os.kill(alone.pid, 0)
