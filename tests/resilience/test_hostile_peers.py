"""Every kind of hostile peer against a real client, which goes on downloading and serving."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from anabranch.storage import MemoryStorage
from anabranch.testing import KINDS, HostilePeer, content_of
from origin import Origin
from ours import address_of, finished, make_client, until

PRESSING, LYING = "127.0.6.66", "127.0.6.67"


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_peer_on_either_side_hinders_nobody(
    kind: str, origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One presses on the seeder, one meets who downloads both ways: all comes right, and no innocent is banned."""
    content = content_of(origin.metainfo.info, origin.content)
    caplog.set_level(logging.ERROR, "anabranch")
    with make_client(tmp_path, "127.0.6.2", storage=MemoryStorage()) as client:
        torrent = origin.added(client)
        with (
            HostilePeer(kind, origin.metainfo, host=PRESSING, victim=origin.address) as presser,
            HostilePeer(kind, origin.metainfo, host=LYING, victim=address_of(client), content=content) as liar,
        ):
            torrent.add_peers([liar.address])
            until(lambda: presser.connections and liar.connections)
            torrent.download_all()
            torrent.add_peers([origin.address])
            finished(torrent, 30)
            with torrent.reader() as reader:
                assert reader.read() == origin.content
        assert client.stats().banned <= ({LYING} if KINDS[kind].lies else set())
    assert not origin.client.stats().banned
    assert not caplog.records
