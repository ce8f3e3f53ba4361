"""A super-seeder of ours (BEP 16) and libtorrents that know each other."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.api import create
from interop.libtorrent_peer import LibtorrentPeer
from ours import KIB, MIB, address_of, make_client

pytestmark = pytest.mark.interop

LENGTH = 12 * MIB + 12345


def test_three_libtorrents_get_it_all_and_we_send_it_hardly_more_than_once(tmp_path: Path) -> None:
    """They pass on what they are shown; none takes us for useless although we say that we have nothing."""
    original = trees.make_file(tmp_path / "seed" / "new.bin", LENGTH, seed=16)
    data = create(original, piece_length=128 * KIB)
    with make_client(tmp_path, "127.0.2.40", data_dir=original.parent) as client, ExitStack() as stack:
        torrent = client.add(data)
        torrent.set_super_seeding(True)
        assert torrent.checked.wait(30)
        peers = [stack.enter_context(LibtorrentPeer(f"127.0.2.{41 + number}")) for number in range(3)]
        for number, peer in enumerate(peers):
            peer.add(data, tmp_path / str(number))
        for number, peer in enumerate(peers):
            for other in peers[:number]:
                peer.connect(other.host, other.port)
            peer.connect(*address_of(client))
        for peer in peers:
            peer.wait_finished(40)
        assert torrent.stats().uploaded < 1.4 * LENGTH
    for number in range(3):
        assert trees.digest(tmp_path / str(number) / "new.bin") == trees.digest(original)
